"""Key Vault references: which secret one names.

Forms: "Use Key Vault references as app settings" (App Service documentation).
"""

import re
from dataclasses import dataclass

_SECRET_URI = re.compile(r"https://([^./]+)\.[^/]+/secrets/([^/?]+)(?:/([^/?]+))?/?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret in a Key Vault."""

    vault: str
    name: str
    version: str | None = None
    uri: str | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of `az` to read it."""
        if self.uri is not None:
            named: tuple[str, ...] = ("--id", self.uri)
        else:
            version = () if self.version is None else ("--version", self.version)
            named = ("--vault-name", self.vault, "--name", self.name, *version)
        return ("keyvault", "secret", "show", *named)


def referenced_secret(value: str) -> Secret | None:
    """The secret that a Key Vault reference names; None if it is none, or malformed."""
    inner = re.fullmatch(r"@microsoft\.keyvault\((.*)\)", value.strip(), re.IGNORECASE | re.DOTALL)
    if inner is None:
        return None
    pairs = (part.partition("=") for part in inner.group(1).split(";"))
    parts = {name.strip().lower(): text.strip() for name, _, text in pairs}
    if found := _SECRET_URI.fullmatch(parts.get("secreturi", "")):
        vault, name, version = found.groups()
        return Secret(vault, name, version, uri=parts["secreturi"].rstrip("/"))
    if parts.get("vaultname") and parts.get("secretname"):
        return Secret(parts["vaultname"], parts["secretname"], parts.get("secretversion") or None)
    return None
