"""What the Bicep files are held to: each rule looks at one file and yields what is wrong with it."""

import re
from collections.abc import Callable, Iterator, Mapping

from tools.bicep_file import BicepFile, without_comments

Rule = Callable[[BicepFile], Iterator[str]]


def unused_names(file: BicepFile) -> Iterator[str]:
    """A parameter, variable, module or resource that nothing refers to is a mistake, or waiting for one."""
    code = without_comments(file.source)
    for name in [*file.parameters, *file.tree.get("variables", {})]:
        if len(re.findall(rf"\b{name}\b", re.sub(r"'[^'\n$]*'", "", code))) < 2:
            yield f"{name} is used nowhere"


def modules_fit(file: BicepFile) -> Iterator[str]:
    """A module exists, gets the parameters that it needs and no others, and has the outputs that are read."""
    code = without_comments(file.source)
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
        read = set(re.findall(rf"\b{module.symbol}[!?]?\.\??outputs\.(\w+)", code))
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


PREVIEWS: Mapping[str, str] = {
    "Microsoft.Insights/diagnosticSettings": "there is no other version",
    "Microsoft.NotificationHubs/namespaces": "of one version with its hub",
    "Microsoft.NotificationHubs/namespaces/notificationHubs": "no other version has fcmV1Credential",
}
"""The types that are used at a preview version, and why."""


def versions_are_final(file: BicepFile) -> Iterator[str]:
    """A preview version can be gone at the next deployment."""
    for resource in file.resources:
        if "preview" in resource.version and resource.type not in PREVIEWS:
            yield f"{resource.symbol}: {resource.type}@{resource.version} is a preview"


class OneOf(tuple[object, ...]):
    """Any of these values will do."""

    __slots__ = ()


CALLS = ["Microsoft.Communication.IncomingCall"]
ENDS = ["Microsoft.Communication.CallEnded", "Microsoft.Communication.CallParticipantAdded"]

# What each type has to have, by the path below `properties`.
REQUIRED: Mapping[str, Mapping[str, object]] = {
    "Microsoft.Storage/storageAccounts": {
        "allowBlobPublicAccess": False,
        "allowSharedKeyAccess": False,
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": True,
    },
    "Microsoft.Storage/storageAccounts/blobServices/containers": {"publicAccess": "None"},
    "Microsoft.KeyVault/vaults": {
        "enableRbacAuthorization": True,
        "enableSoftDelete": True,
        "enablePurgeProtection": True,
        "enabledForTemplateDeployment": True,
    },
    "Microsoft.Insights/components": {"DisableLocalAuth": True},
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
        "filter.includedEventTypes": OneOf([CALLS, [*CALLS, *ENDS]]),
        "destination.endpointType": "AzureFunction",
        "deadLetterWithResourceIdentity.identity.type": "SystemAssigned",
        "deadLetterWithResourceIdentity.deadLetterDestination.endpointType": "StorageBlob",
    },
}


def required_properties(file: BicepFile) -> Iterator[str]:
    """Resources are as closed as they can be, whichever side of a condition applies."""
    for resource in file.resources:
        if resource.existing:
            continue
        for path, wanted in REQUIRED.get(resource.type, {}).items():
            allowed = wanted if isinstance(wanted, OneOf) else (wanted,)
            found = file.choices_at(resource.properties, path)
            if not found or any(choice not in allowed for choice in found):
                yield f"{resource.symbol}: {path} is {found!r}, not {wanted!r}"


# Reads secrets; owns and writes blobs; writes tables; sends telemetry. No role that manages anything.
ROLES = frozenset(
    {
        "4633458b-17de-408a-b874-0445c86b69e6",
        "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
        "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
        "3913510d-42f4-4e42-8a64-420c390055eb",
    }
)
_GUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def roles_are_small(file: BicepFile) -> Iterator[str]:
    """A role is one of a few that read or write data, on one resource, never on a group or a whole vault."""
    types = {resource.symbol: resource.type for resource in file.resources}
    for resource in file.resources:
        if resource.type != "Microsoft.Authorization/roleAssignments":
            continue
        if "scope" not in resource.config:
            yield f"{resource.symbol}: the role is on the whole scope of the deployment"
        elif types.get(resource.config["scope"]) == "Microsoft.KeyVault/vaults":
            yield f"{resource.symbol}: the role is on every secret of the vault"
    for role in sorted(set(_GUID.findall(file.source)) - ROLES):
        yield f"{role} is no role that this project gives"


def conditions_guard_what_is_read(file: BicepFile) -> Iterator[str]:
    """Reads what may not be there only behind a condition of the expression's own.

    Resource Manager evaluates what a resource or module reads at run time, although its condition is false,
    and fails on a module that was not deployed and on a property that is not there.
    """
    parts = (*file.resources, *file.modules)
    may_be_missing = {part.symbol for part in parts if part.conditional}
    may_be_other = {part.symbol for part in file.resources if part.existing}
    conditional = may_be_missing
    for symbol, code in file.declarations.items():
        names = may_be_missing | (may_be_other if symbol in conditional else set())
        for line in code.splitlines():
            for read in re.finditer(r"(?<![.\w])(\w+)[!?]?\.\??(\w+)", line):
                at_once = read[2] in ("id", "name", "type", "apiVersion", "getSecret")
                if read[1] in names and not at_once and " ? " not in line[: read.start()]:
                    yield f"{symbol}: reads {read[0]} whether or not it is there"


def site_children_wait(file: BicepFile) -> Iterator[str]:
    """The children of a site are deployed one after another: two changes at once can conflict."""
    children = {
        resource.symbol: resource.config.get("dependsOn", [])
        for resource in file.resources
        if resource.type.startswith("Microsoft.Web/sites/")
    }
    first = [symbol for symbol, waits_for in children.items() if not set(waits_for) & set(children)]
    for symbol in first[1:]:
        yield f"{symbol} waits for no other child of the site, and neither does {first[0]}"


def dependencies_are_needed(file: BicepFile) -> Iterator[str]:
    """No dependency is named that follows from a reference, direct or through others: the linter refuses
    it."""
    code = {name: re.sub(r"\bdependsOn: \[[^\]]*\]", "", text) for name, text in file.declarations.items()}
    parts = {part.symbol: part for part in (*file.resources, *file.modules)}
    for symbol, part in parts.items():
        reached: set[str] = set()
        waiting = [symbol]
        while waiting:
            # Neither a property's name nor what is read of something else is a reference.
            used = set(re.findall(r"(?<![.\w])(\w+)\b(?!:)", code[waiting.pop()])) & set(code)
            waiting += used - reached
            reached |= used
        for name in part.config.get("dependsOn", []):
            if name in reached and not parts[name].existing and not parts[name].looped:
                yield f"{symbol}: depends on {name} by a reference already"


COMPILER_RULES: tuple[Rule, ...] = (unused_names, modules_fit, files_exist, dependencies_are_needed)
"""What the compiler finds too."""

POLICIES: tuple[Rule, ...] = (
    secrets_are_secure,
    versions_are_final,
    required_properties,
    roles_are_small,
    conditions_guard_what_is_read,
    site_children_wait,
)
