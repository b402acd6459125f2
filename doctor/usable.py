"""Arguments of commands, checked: settings that can be used, and a user who can have devices."""

from doctor.checks.findings import Status
from doctor.checks.identifiers import pasted
from doctor.checks.settings_checks import check_settings
from doctor.probes.app_settings import AppSettings
from doctor.probes.settings_source import UsageError
from models.identity import Identity
from settings import Settings


def usable_settings(loaded: AppSettings) -> Settings:
    """The settings.

    Raises:
        UsageError: they cannot be used; it lists every one to correct.
    """
    settings, checks = check_settings(loaded.values, loaded.unresolved)
    if settings is None:
        wrong = "; ".join(f"{c.name}: {c.detail}" for c in checks if c.status is Status.FAIL)
        raise UsageError(f"Settings to correct: {wrong}. 'check' says what to do.")
    return settings


def device_owner(text: str) -> Identity:
    """The user whose MRI is in a pasted text.

    Raises:
        UsageError: it names no user who can have devices.
    """
    identity = Identity.parse(pasted(text))
    if not identity.can_own_devices:
        kind = identity.kind.value
        raise UsageError(f"An MRI of a user who can have devices is needed. This is one of: {kind}.")
    return identity
