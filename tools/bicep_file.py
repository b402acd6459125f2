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
    looped: bool = False
    conditional: bool = False

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
            Part(symbol, one["type"], one["api_version"], one["existing"], *_unwrapped(one["config"]))
            for symbol, one in self.tree.get("resources", {}).items()
        ]

    @property
    def modules(self) -> list[Part]:
        """Its modules."""
        return [
            Part(symbol, one["detail"]["path"], "", False, *_unwrapped(one["config"]))  # noqa: FBT003
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

    @property
    def declarations(self) -> dict[str, str]:
        """The code of each resource, module and variable, by its name; without comments and the text of
        strings."""
        code = _without_text(without_comments(self.source))
        starts = list(_DECLARATION.finditer(code))
        ends = [start.start() for start in starts[1:]] + [len(code)]
        return {
            start["name"]: code[start.end() : end]
            for start, end in zip(starts, ends, strict=True)
            if start["kind"] in ("resource", "module", "var")
        }

    def is_secure(self, parameter: str) -> bool:
        """Whether a parameter is kept out of logs."""
        return any(one["type"] == "secure" for one in self.parameters[parameter]["decorators"])


@cache
def _parsed(source: str) -> Properties:
    tree: Properties = BicepParser().parse(text=source)
    return tree


_DECLARATION = re.compile(
    r"^(?:(?P<kind>resource|module|var) (?P<name>\w+)|(?:param|output|targetScope|@)\b)", re.MULTILINE
)


def _unwrapped(config: Properties) -> tuple[Properties, bool, bool]:
    """What is inside a condition or a loop; whether there is a loop, and a condition."""
    looped = conditional = False
    while "config" in config and ("condition" in config or "loop_type" in config):
        looped |= "loop_type" in config
        conditional |= "condition" in config
        config = config["config"]
    return config, looped, conditional


_IN_STRING = re.compile(r"(?:\\.|\$(?!\{)|[^'$\\\n])*(\$\{|')")


def _without_text(code: str) -> str:
    """The code without the text of strings; what is interpolated into them stays."""
    kept = []
    nesting: list[int] = []  # for each interpolation that is open: how many braces are open within it
    position = 0
    while position < len(code):
        sign = code[position]
        position += 1
        kept.append(sign)
        if sign == "{" and nesting:
            nesting[-1] += 1
        if sign == "}" and nesting and nesting[-1] > 0:
            nesting[-1] -= 1
        elif sign == "'" or (sign == "}" and nesting and nesting.pop() == 0):
            text = _IN_STRING.match(code, position)
            if text is None:
                continue
            position = text.end()
            kept.append(text[1])
            if text[1] == "${":
                nesting.append(0)
    return "".join(kept)


def without_comments(source: str) -> str:
    return re.sub(r"(?<![:/'])//.*$", "", source, flags=re.MULTILINE)
