"""The app's settings, wherever they come from, with Key Vault references resolved through `az`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from doctor.checks.azure import Unanswered
from doctor.checks.key_vault import Secret, referenced_secret
from doctor.probes.azure_cli import AzureCli, AzureCliError, command_line
from doctor.probes.deployment_probe import DeploymentProbe
from doctor.probes.settings_source import UsageError, read_settings, texts
from settings import is_setting


@dataclass(frozen=True, slots=True)
class SettingsSource:
    """Where the settings come from, as the command line says it."""

    file: str | None
    """A file, or `-`; None for the environment, or Azure."""
    app: str | None = None
    """Name of a function app in Azure."""
    group: str | None = None
    """Its resource group."""


@dataclass(frozen=True, slots=True)
class AppSettings:
    """The settings that were found."""

    values: Mapping[str, str] = field(repr=False)
    unresolved: Mapping[str, Unanswered]
    """Settings that are Key Vault references and could not be resolved, with the reason and a command to
    try."""
    deployment: DeploymentProbe | None
    """The app in Azure, if the settings are from there."""


def load_settings(
    source: SettingsSource, environment: Mapping[str, str], azure: AzureCli | None = None
) -> AppSettings:
    """Read the settings and resolve the Key Vault references among them.

    Args:
        source: where from.
        environment: such as `os.environ`.
        azure: the Azure CLI; by default the one that is installed.

    Raises:
        UsageError: the command line or the file cannot be used.
        AzureCliError: the settings of the app in Azure cannot be had.
    """
    azure = azure or AzureCli()
    if source.app is None and source.group is None:
        return _resolved(read_settings(source.file, environment), azure, None)
    if source.app is None or source.group is None:
        raise UsageError("--app and --resource-group belong together.")
    if source.file is not None:
        raise UsageError("Give either --settings, or --app and --resource-group.")
    deployment = DeploymentProbe(azure, source.app, source.group)
    listed = deployment.settings()
    if not isinstance(listed, list):
        raise UsageError("az listed no settings.")
    return _resolved(texts({each["name"]: each.get("value") for each in listed}), azure, deployment)


def _resolved(values: Mapping[str, str], azure: AzureCli, deployment: DeploymentProbe | None) -> AppSettings:
    found, unresolved = dict(values), dict[str, Unanswered]()
    for name, value in values.items():
        if is_setting(name) and (secret := referenced_secret(value)):
            try:
                found[name] = _secret(azure, secret)
            except AzureCliError as error:
                unresolved[name] = _explained(error.unanswered, secret)
    return AppSettings(found, unresolved, deployment)


def _secret(azure: AzureCli, secret: Secret) -> str:
    answer: Any = azure.ask(*secret.arguments)
    value = answer.get("value") if isinstance(answer, dict) else None
    if not isinstance(value, str):
        raise AzureCliError(Unanswered("the secret has no value", ""))
    return value


def _explained(unanswered: Unanswered, secret: Secret) -> Unanswered:
    """The reason, and the command that prints the secret, for a person who may read it."""
    show = command_line([*secret.arguments, "--query", "value", "--output", "tsv"])
    return Unanswered(
        unanswered.detail,
        f"{unanswered.remedy} Or read the secret yourself and give it as the setting's value:".strip(),
        (*(command for command in unanswered.commands if "secret show" not in command), show),
        unanswered.is_absent,
    )
