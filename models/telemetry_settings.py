"""The settings by which the Functions worker sends telemetry. The app only asks whether they can work.

Source: "Application Insights connection strings", and the distribution `azure-monitor-opentelemetry`, which
refuses a connection string without a GUID as instrumentation key.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from models.hub import is_loopback
from models.known_causes import KEY_VAULT_REFERENCE, is_key_vault_reference

ENABLED = "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"
CONNECTION_STRING = "APPLICATIONINSIGHTS_CONNECTION_STRING"

_TRUE = frozenset({"1", "true", "t", "yes", "y"})
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ENDPOINTS = ("ingestionendpoint", "liveendpoint")


def is_wanted(values: Mapping[str, str]) -> bool:
    """Whether the worker is told to send telemetry, traces included.

    Args:
        values: of the settings, by name in any letter case.
    """
    given = {name.upper(): value.strip().lower() for name, value in values.items()}
    return given.get(ENABLED, "") in _TRUE and given.get("OTEL_TRACES_EXPORTER", "") != "none"


def mistake_in(connection_string: str) -> str | None:
    """What is wrong with a connection string of Application Insights; None if it can be used."""
    text = connection_string.strip()
    if not text:
        return "is missing"
    if is_key_vault_reference(text):
        return KEY_VAULT_REFERENCE.problem
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    parts = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if not _GUID.fullmatch(parts.get("instrumentationkey", "")):
        return "has no InstrumentationKey that is a GUID"
    for name in _ENDPOINTS:
        if name in parts and not _is_endpoint(parts[name]):
            return f"has an {name} that is no https URL"
    return None


def _is_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return host is not None and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))
