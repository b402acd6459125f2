"""Access keys, of the same kinds as the Functions host's.

A function key gives access to one function, the host key to every function, the master key to everything
including the admin routes, a system key to the webhook of one extension ("Work with access keys in Azure
Functions", Microsoft Learn).
"""

import hmac
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

EVENT_GRID_SYSTEM_KEY = "eventgrid_extension"
"""The system key of the Event Grid extension's webhook."""

KEYS_VARIABLE = "LOCAL_HOST_KEYS"
"""Environment variable with the host's keys, in the form of `KeyRing.from_json`."""


class KeyRingError(ValueError):
    """The keys are malformed; the message never quotes one."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys are non-empty text; `repr` does not show them."""

    host: str = field(repr=False)
    master: str = field(repr=False)
    functions: Mapping[str, str] = field(default_factory=dict, repr=False)
    system: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def generate(cls, functions: Iterable[str] = (), system: Iterable[str] = ()) -> Self:
        """Random keys for the host, the master and all given names."""
        return cls(
            host=_new_key(),
            master=_new_key(),
            functions={name: _new_key() for name in functions},
            system={name: _new_key() for name in system},
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read `{"functions": {name: key}, "host": key, "master": key, "system": {name: key}}`.

        Every part is optional; a missing host or master key is generated. Raises KeyRingError.
        """
        try:
            given = json.loads(text)
        except ValueError:
            # The parser's message may quote what it could not read, which may be a key.
            raise KeyRingError("the keys are not JSON") from None
        if not isinstance(given, dict) or not given.keys() <= {"functions", "host", "master", "system"}:
            raise KeyRingError('the keys are not an object of "functions", "host", "master" and "system"')
        return cls(
            host=_key(given.get("host", _new_key()), "host"),
            master=_key(given.get("master", _new_key()), "master"),
            functions=_keys(given.get("functions", {}), "functions"),
            system=_keys(given.get("system", {}), "system"),
        )

    def to_json(self) -> str:
        """The keys in clear text, as `from_json` reads them."""
        return json.dumps(
            {
                "functions": dict(self.functions),
                "host": self.host,
                "master": self.master,
                "system": dict(self.system),
            }
        )

    def completed(self, functions: Iterable[str]) -> Self:
        """These keys and a random one for each function that has none."""
        missing = {name: _new_key() for name in functions if name not in self.functions}
        return replace(self, functions={**self.functions, **missing})

    def kind_of(self, key: str) -> str:
        """Which of these keys it is, for a message; never the key itself."""
        named = {f"the key of {name}": one for name, one in self.functions.items()}
        named |= {"the host key": self.host, "the master key": self.master}
        named |= {f"the system key {name}": one for name, one in self.system.items()}
        return next((kind for kind, one in named.items() if _is_one_of(key, (one,))), "an unknown key")

    def opens_function(self, key: str, name: str) -> bool:
        """`key` is the function's key, the host key or the master key."""
        return _is_one_of(key, (self.functions.get(name, ""), self.host, self.master))

    def opens_admin(self, key: str) -> bool:
        """`key` is the master key."""
        return _is_one_of(key, (self.master,))

    def opens_webhook(self, key: str, system_key: str) -> bool:
        """`key` is the named system key or the master key, or no such system key is set."""
        if system_key not in self.system:
            return True
        return _is_one_of(key, (self.system[system_key], self.master))


def _new_key() -> str:
    return secrets.token_urlsafe(32)


def _key(value: object, name: str) -> str:
    # A request without a key presents an empty one.
    if not isinstance(value, str) or not value:
        raise KeyRingError(f"the key {name!r} is not a non-empty string")
    return value


def _keys(value: object, name: str) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise KeyRingError(f"{name!r} is not an object of names and keys")
    return {owner: _key(key, f"{name}.{owner}") for owner, key in value.items()}


def _is_one_of(key: str, candidates: Iterable[str]) -> bool:
    """Compare with every candidate in constant time."""
    presented = _as_bytes(key)
    matches = [hmac.compare_digest(presented, _as_bytes(one)) for one in candidates if one]
    return any(matches)


def _as_bytes(key: str) -> bytes:
    # `compare_digest` accepts ASCII text only; a header may contain anything, lone surrogates included.
    return key.encode("utf-8", "surrogatepass")
