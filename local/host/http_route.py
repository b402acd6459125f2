"""Where an HTTP function answers (pure)."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote

from local.host.worker import LoadedFunction, StartupError


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """The route of one HTTP function."""

    function: LoadedFunction
    path: str
    methods: frozenset[str]
    """Empty if the trigger names none: then every method is served."""
    auth_level: str
    """`anonymous`, `function` or `admin`."""

    @classmethod
    def of(cls, function: LoadedFunction, prefix: str) -> Self:
        """Read the raw trigger binding: `route`, `methods`, `authLevel`; raises StartupError."""
        trigger = function.trigger
        route = str(trigger.get("route") or function.name).strip("/")
        if any(mark in route for mark in ("{*", ":", "?")):
            raise StartupError(f"the route {route!r} has more than plain {{parameters}}: not supported here")
        return cls(
            function=function,
            path="/" + "/".join(part for part in (prefix.strip("/"), route) if part),
            methods=frozenset(str(method).upper() for method in trigger.get("methods") or ()),
            auth_level=str(trigger.get("authLevel") or "function").lower(),
        )

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The route parameters of a matching request, else `None`; literal parts match in any case."""
        expected, given = self.path.strip("/").split("/"), path.strip("/").split("/")
        if len(expected) != len(given) or (self.methods and method not in self.methods):
            return None
        parameters: dict[str, str] = {}
        for part, raw in zip(expected, given, strict=True):
            value = unquote(raw)
            if part.startswith("{") and part.endswith("}") and value:
                parameters[part[1:-1]] = value
            elif part.lower() != value.lower():
                return None
        return parameters
