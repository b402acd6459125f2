"""`python -m tools.bicep infra`: parses every Bicep file and holds it to the house's rules for Azure.

No package registry that the project builds from has a Bicep compiler, so this checks what one would trip over
first (syntax, modules' parameters and outputs, unused names) and what none looks at (policies).
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lark.exceptions import LarkError
from pycep import BicepParser

Properties = Mapping[str, Any]


class BicepSyntaxError(Exception):
    """A file is not Bicep; the message says where."""


@dataclass(frozen=True, slots=True)
class Part:
    """A resource or a module: what it is and how it is configured, whatever its loop or condition."""

    symbol: str
    type: str
    """Resource type without version, or path of the module."""
    version: str
    existing: bool
    config: Properties

    @property
    def properties(self) -> Properties:
        """Its `properties`."""
        found = self.config.get("properties")
        return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True, slots=True)
class BicepFile:
    """One parsed file."""

    path: Path
    source: str
    tree: Properties

    @classmethod
    def read(cls, path: Path) -> "BicepFile":
        """Parse a file.

        Raises:
            BicepSyntaxError: it cannot be parsed.
        """
        source = path.read_text(encoding="utf-8")
        try:
            return cls(path, source, _parsed(source))
        except LarkError as error:
            first = str(error).partition("\n")[0]
            raise BicepSyntaxError(f"{path}: {first}") from None

    @property
    def resources(self) -> list[Part]:
        """Its resources."""
        return [
            Part(symbol, one["type"], one["api_version"], one["existing"], _unwrapped(one["config"]))
            for symbol, one in self.tree.get("resources", {}).items()
        ]

    @property
    def modules(self) -> list[Part]:
        """Its modules."""
        return [
            Part(symbol, one["detail"]["path"], "", existing=False, config=_unwrapped(one["config"]))
            for symbol, one in self.tree.get("modules", {}).items()
        ]

    @property
    def parameters(self) -> Mapping[str, Properties]:
        """Its parameters."""
        found: Mapping[str, Properties] = self.tree.get("parameters", {})
        return found

    @property
    def required_parameters(self) -> set[str]:
        """The parameters that have no default."""
        code = _without_comments(self.source)
        with_default = set(re.findall(r"^param (\w+) \S+ =", code, re.MULTILINE))
        return set(self.parameters) - with_default

    @property
    def outputs(self) -> set[str]:
        """The names of its outputs."""
        return set(self.tree.get("outputs", {}))

    def is_secure(self, parameter: str) -> bool:
        """Whether a parameter is kept out of logs."""
        return any(one["type"] == "secure" for one in self.parameters[parameter]["decorators"])


@cache
def _parsed(source: str) -> Properties:
    tree: Properties = BicepParser().parse(text=source)
    return tree


def _unwrapped(config: Properties) -> Properties:
    """What is inside a condition or a loop."""
    while "config" in config and ("condition" in config or "loop_type" in config):
        config = config["config"]
    return config


def _without_comments(source: str) -> str:
    return re.sub(r"(?<![:/'])//.*$", "", source, flags=re.MULTILINE)


Rule = Callable[[BicepFile], Iterator[str]]


def unused_names(file: BicepFile) -> Iterator[str]:
    """A parameter, variable, module or resource that nothing refers to is a mistake, or waiting for one."""
    code = _without_comments(file.source)
    for name in [*file.parameters, *file.tree.get("variables", {})]:
        if len(re.findall(rf"\b{name}\b", re.sub(r"'[^'\n$]*'", "", code))) < 2:
            yield f"{name} is used nowhere"


def modules_fit(file: BicepFile) -> Iterator[str]:
    """A module exists, gets the parameters that it needs and no others, and has the outputs that are read."""
    code = _without_comments(file.source)
    for module in file.modules:
        path = file.path.parent / module.type
        if not path.exists():
            yield f"module {module.symbol}: {module.type} does not exist"
            continue
        inner = BicepFile.read(path)
        given = set(module.config.get("params", {}))
        for name in sorted(inner.required_parameters - given):
            yield f"module {module.symbol}: lacks the parameter {name}"
        for name in sorted(given - set(inner.parameters)):
            yield f"module {module.symbol}: {module.type} has no parameter {name}"
        read = set(re.findall(rf"\b{module.symbol}\.outputs\.(\w+)", code))
        for name in sorted(read - inner.outputs):
            yield f"module {module.symbol}: {module.type} has no output {name}"


def files_exist(file: BicepFile) -> Iterator[str]:
    """A file that is loaded into the template exists."""
    for name in re.findall(r"load\w+Content\('([^']+)'", file.source):
        if not (file.path.parent / name).exists():
            yield f"{name} does not exist"


_SECRET_NAME = re.compile(r"password|secret|(?<!insights)connectionstring|^value$", re.IGNORECASE)


def secrets_are_secure(file: BicepFile) -> Iterator[str]:
    """A parameter that holds a secret is kept out of the deployment's log, and no output gives one away."""
    for name in file.parameters:
        if _SECRET_NAME.search(name) and not file.is_secure(name):
            yield f"parameter {name} is not @secure()"
    for name, output in file.tree.get("outputs", {}).items():
        text = str(output["value"]).lower()
        if "listkeys" in text or "list_keys" in text or any(secret in text for secret in _secure(file)):
            yield f"output {name} gives a secret away"


def _secure(file: BicepFile) -> list[str]:
    return [name.lower() for name in file.parameters if file.is_secure(name)]


def versions_are_final(file: BicepFile) -> Iterator[str]:
    """A preview version may be gone at the next deployment."""
    for resource in file.resources:
        if "preview" in resource.version:
            yield f"{resource.symbol}: {resource.type}@{resource.version} is a preview"


# What each type has to have, by the path below `properties`.
REQUIRED: Mapping[str, Mapping[str, object]] = {
    "Microsoft.Storage/storageAccounts": {
        "allowBlobPublicAccess": False,
        "allowSharedKeyAccess": False,
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": True,
    },
    "Microsoft.Storage/storageAccounts/blobServices/containers": {"publicAccess": "None"},
    "Microsoft.KeyVault/vaults": {"enableRbacAuthorization": True, "enableSoftDelete": True},
    "Microsoft.Web/sites": {
        "httpsOnly": True,
        "siteConfig.minTlsVersion": "1.2",
        "siteConfig.scmMinTlsVersion": "1.2",
        "siteConfig.ftpsState": "Disabled",
        "functionAppConfig.runtime.name": "python",
        "functionAppConfig.runtime.version": "3.13",
    },
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": {"allow": False},
    "Microsoft.NotificationHubs/namespaces/notificationHubs/authorizationRules": {"rights": ["Send"]},
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": {
        "eventDeliverySchema": "EventGridSchema",
        "filter.includedEventTypes": ["Microsoft.Communication.IncomingCall"],
        "destination.endpointType": "AzureFunction",
        "deadLetterWithResourceIdentity.identity.type": "SystemAssigned",
        "deadLetterWithResourceIdentity.deadLetterDestination.endpointType": "StorageBlob",
    },
}


def required_properties(file: BicepFile) -> Iterator[str]:
    """Resources are as closed as they can be."""
    for resource in file.resources:
        if resource.existing:
            continue
        for path, wanted in REQUIRED.get(resource.type, {}).items():
            found = at(resource.properties, path)
            if found != wanted:
                yield f"{resource.symbol}: {path} is {found!r}, not {wanted!r}"


# Reads secrets; owns and writes blobs; writes tables. No role that manages anything.
ROLES = frozenset(
    {
        "4633458b-17de-408a-b874-0445c86b69e6",
        "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
        "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    }
)
_GUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def roles_are_small(file: BicepFile) -> Iterator[str]:
    """A role is one of a few that read or write data, on one resource, never on a group or subscription."""
    for resource in file.resources:
        if resource.type == "Microsoft.Authorization/roleAssignments" and "scope" not in resource.config:
            yield f"{resource.symbol}: the role is on the whole scope of the deployment"
    for role in sorted(set(_GUID.findall(file.source)) - ROLES):
        yield f"{role} is no role that this project gives"


RULES: tuple[Rule, ...] = (
    unused_names,
    modules_fit,
    files_exist,
    secrets_are_secure,
    versions_are_final,
    required_properties,
    roles_are_small,
)


def at(properties: Properties, path: str) -> object:
    """What stands at a dotted path; None if nothing does."""
    found: object = properties
    for step in path.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def check(folder: Path) -> list[str]:
    """Everything that is wrong with the Bicep files below a folder."""
    problems = []
    for path in sorted(folder.rglob("*.bicep")):
        try:
            file = BicepFile.read(path)
            problems += [f"{path}: {problem}" for rule in RULES for problem in rule(file)]
        except BicepSyntaxError as error:
            problems.append(str(error))
    return problems


def main() -> int:
    """Check the folder that is named, and say what is wrong."""
    problems = check(Path(sys.argv[1]))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
