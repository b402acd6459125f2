"""A parsed Bicep file: its parameters, resources, modules and outputs."""

import re
from collections.abc import Iterator, Mapping
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
        code = without_comments(self.source)
        with_default = set(re.findall(r"^param (\w+) \S+ =", code, re.MULTILINE))
        return set(self.parameters) - with_default

    def choices(self, value: object) -> Iterator[object]:
        """What an expression can come to: both sides of a condition, the value of a variable; no null."""
        variables: Mapping[str, Properties] = self.tree.get("variables", {})
        operator = value.get("operator") if isinstance(value, Mapping) else None
        if isinstance(operator, Mapping) and operator["type"] == "conditional":
            yield from self.choices(operator["operands"]["true_value"])
            yield from self.choices(operator["operands"]["false_value"])
        elif isinstance(value, str) and value in variables:
            yield from self.choices(variables[value]["value"])
        elif value is not None:
            yield value

    def choices_at(self, properties: object, path: str) -> list[object]:
        """What can stand at a dotted path; empty if nothing does."""
        found = list(self.choices(properties))
        for step in path.split("."):
            inner = [each.get(step) for each in found if isinstance(each, Mapping)]
            found = [choice for each in inner for choice in self.choices(each)]
        return found

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


def without_comments(source: str) -> str:
    return re.sub(r"(?<![:/'])//.*$", "", source, flags=re.MULTILINE)
