"""The simulated hub's name and its shared access policies."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from local.pydantic_errors import explain


class AccessRule(BaseModel):
    """A shared access policy: its key (used as UTF-8, not base64-decoded) and rights such as `Send`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    key: str = Field(min_length=1, repr=False)
    rights: frozenset[str]


_RULES = TypeAdapter(dict[str, AccessRule], config=ConfigDict(hide_input_in_errors=True))


def parse_rules(text: str) -> dict[str, AccessRule]:
    """Read `{"KeyName": {"key": "…", "rights": ["Send"]}}`; raises ValueError, which quotes no key."""
    try:
        return _RULES.validate_json(text)
    except ValidationError as error:
        raise ValueError(explain(error)) from None


class Tier(StrEnum):
    """The pricing tier of a hub's namespace."""

    FREE = "free"
    BASIC = "basic"
    STANDARD = "standard"
    """The only one with notification ids, telemetry and feedback."""


@dataclass(frozen=True)
class HubConfig:
    """The hub `https://{namespace}.servicebus.windows.net/{hub_name}` and its access policies by name."""

    namespace: str
    hub_name: str
    rules: Mapping[str, AccessRule]
    endpoint: str | None = None
    """`host:port` in place of the namespace's host: in the connection string and in the SAS audience."""
    tier: Tier = Tier.STANDARD

    @property
    def host(self) -> str:
        """The host of the hub, in lower case, with a port if `endpoint` has one."""
        return (self.endpoint or f"{self.namespace}.servicebus.windows.net").lower()

    def connection_string(self, key_name: str | None = None) -> str:
        """In the portal's form, for the named policy or else the first one with the `Send` right."""
        name = key_name or next(name for name, rule in self.rules.items() if "Send" in rule.rights)
        key = self.rules[name].key
        return f"Endpoint=sb://{self.host}/;SharedAccessKeyName={name};SharedAccessKey={key}"


DEVELOPMENT_HUB = HubConfig(
    namespace="localhub",
    hub_name="calls",
    rules={
        "DefaultFullSharedAccessSignature": AccessRule(
            key="for-development-only=", rights=frozenset({"Listen", "Manage", "Send"})
        ),
        "DefaultListenSharedAccessSignature": AccessRule(
            key="for-development-only-too=", rights=frozenset({"Listen"})
        ),
    },
)
"""The hub of the local stack, the tests and the benchmark."""


def development_hub(name: str) -> HubConfig:
    """Another hub beside DEVELOPMENT_HUB in its namespace, with keys of its own."""
    rules = {
        rule_name: AccessRule(key=f"{rule.key.removesuffix('=')}-{name.lower()}=", rights=rule.rights)
        for rule_name, rule in DEVELOPMENT_HUB.rules.items()
    }
    return replace(DEVELOPMENT_HUB, hub_name=name, rules=rules)
