"""The last step of an upgrade to a database without a password: removes what the app no longer needs.

  python3 infra/scripts/remove_password.py          says what it would delete, and asks
  python3 infra/scripts/remove_password.py --yes    does not ask

It deletes the app's role on the whole key vault, which older deployments made, and the secret with the
connection string, once the app signs in to the database with its identity. Deployments remove nothing.
The administrator's password stays in the vault, where the app cannot read it any more.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass

import python_version  # noqa: F401
from command_line import Az, Azd, CommandError, Json, StopError
from hook import main, say, warn

SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
CONNECTION_STRING = "mongodb-connection-string"
SETTING = "MongoDbConnectionString"


@dataclass(frozen=True)
class Deployment:
    """Where things are, by azd's environment."""

    subscription: str
    group: str
    app: str
    vault: str

    @classmethod
    def of(cls, azd: Azd) -> Deployment:
        """Ask azd.

        Raises:
            StopError: there is no deployment in its environment.
        """
        names = (
            "AZURE_SUBSCRIPTION_ID",
            "AZURE_RESOURCE_GROUP",
            "AZURE_FUNCTION_APP_NAME",
            "AZURE_KEY_VAULT_NAME",
        )
        try:
            return cls(*(azd.get(name) for name in names))
        except CommandError as error:
            message = f"azd's environment names no deployment. Run 'azd provision' first. azd said: {error}"
            raise StopError(message) from None

    @property
    def vault_id(self) -> str:
        """Resource id of the vault."""
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
        return f"{group}/providers/Microsoft.KeyVault/vaults/{self.vault}"


@dataclass(frozen=True)
class Plan:
    """What is to be deleted."""

    roles: list[Json]
    """Assignments, as az lists them."""
    secret: bool
    others: list[str]
    """Principals that read every secret of the vault, and are not the app."""


def plan(az: Az, deployment: Deployment) -> Plan:
    """Look at the deployment.

    Raises:
        CommandError: something cannot be looked up.
        StopError: the app would lose a secret that it needs.
    """
    app = ("--name", deployment.app, "--resource-group", deployment.group)
    identities = (az.get("functionapp", "identity", "show", *app) or {}).get("userAssignedIdentities") or {}
    principals = {str(each["principalId"]).lower() for each in identities.values()}
    settings = az.get("functionapp", "config", "appsettings", "list", *app) or []
    connection = next((str(each["value"]) for each in settings if each["name"] == SETTING), "")
    by_identity = "authmechanism=mongodb-oidc" in connection.lower()

    for name in _secrets_in_use(settings, deployment.vault):
        scope = f"{deployment.vault_id}/secrets/{name}"
        if not _of(principals, _readers(az, scope)):
            principal = min(principals, default="PRINCIPAL_ID")
            message = (
                f"The app's settings refer to the secret {name}, and the app has no role on it, only the one "
                "on the whole vault. Run 'azd provision' first. Give the role on your own secrets by hand:"
                '\n  az role assignment create --role "Key Vault Secrets User" '
                f"--assignee-object-id {principal} --assignee-principal-type ServicePrincipal "
                f"--scope {scope}"
            )
            raise StopError(message)
    on_vault = _readers(az, deployment.vault_id)
    roles = _of(principals, on_vault)
    others = [str(role.get("principalName") or role["principalId"]) for role in on_vault if role not in roles]
    if by_identity:
        roles += _of(principals, _readers(az, f"{deployment.vault_id}/secrets/{CONNECTION_STRING}"))
    path = (
        f"/resourceGroups/{deployment.group}/providers/Microsoft.KeyVault/vaults/{deployment.vault}/secrets"
    )
    names = {str(each["name"]).split("/")[-1] for each in az.list(path, "2025-05-01")}
    return Plan(roles, by_identity and CONNECTION_STRING in names, others)


def _secrets_in_use(settings: list[Json], vault: str) -> list[str]:
    """Names of the secrets of the vault that app settings refer to, in both spellings of a reference."""
    by_uri = rf"SecretUri=https://{re.escape(vault)}\.[^/;)]+/secrets/([^/;)]+)"
    by_name = rf"VaultName={re.escape(vault)};SecretName=([^;)]+)"
    reference = re.compile(rf"@Microsoft\.KeyVault\(\s*(?:{by_uri}|{by_name})", re.IGNORECASE)
    found = (reference.search(str(each["value"])) for each in settings)
    return sorted({match.group(1) or match.group(2) for match in found if match})


def _readers(az: Az, scope: str) -> list[Json]:
    """The assignments of the role that reads secrets on exactly this scope."""
    return [
        role
        for role in az.get("role", "assignment", "list", "--scope", scope) or []
        if str(role["scope"]).lower() == scope.lower()
        and str(role["roleDefinitionId"]).endswith(SECRETS_USER)
    ]


def _of(principals: set[str], roles: list[Json]) -> list[Json]:
    return [role for role in roles if str(role["principalId"]).lower() in principals]


def describe(found: Plan, deployment: Deployment) -> None:
    """Say what will be deleted, and what will not."""
    say(f"To be deleted in the key vault {deployment.vault}:")
    for role in found.roles:
        say(f"  the app's role Key Vault Secrets User on {role['scope']}")
    if found.secret:
        say(f"  the secret {CONNECTION_STRING} (recoverable for seven days)")
    if not found.roles and not found.secret:
        say("  nothing")
    if found.others:
        warn(
            f"these read every secret of {deployment.vault}, and are not the app: {', '.join(found.others)}. "
            "They keep that role; remove it in the portal (Access control) if they need it no longer."
        )


def delete(az: Az, found: Plan, deployment: Deployment) -> None:
    """Delete the secret, then the roles.

    Raises:
        StopError: the secret cannot be deleted without a role of the operator's own.
        CommandError: something else failed.
    """
    if found.secret:
        try:
            az.run(
                "keyvault", "secret", "delete", "--vault-name", deployment.vault, "--name", CONNECTION_STRING,
                "--output", "none",
            )  # fmt: skip
        except CommandError as error:
            scope = f"{deployment.vault_id}/secrets/{CONNECTION_STRING}"
            message = (
                f"The secret was not deleted: {error}\n"
                "That needs the role Key Vault Secrets Officer on it. Give it to yourself, wait a minute and "
                "run this again:\n"
                "  az role assignment create --assignee YOU "
                f'--role "Key Vault Secrets Officer" --scope {scope}'
            )
            raise StopError(message) from None
        say(f"Deleted the secret {CONNECTION_STRING}.")
    for role in found.roles:
        az.run("role", "assignment", "delete", "--ids", str(role["id"]))
        say(f"Deleted the app's role on {role['scope']}.")


def remove_password() -> None:
    """Say what is to be deleted, ask, delete."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--environment", default="", help="of azd; its default one if left out")
    given = parser.parse_args()
    deployment = Deployment.of(Azd(given.environment))
    az = Az(deployment.subscription)
    found = plan(az, deployment)
    describe(found, deployment)
    if not found.roles and not found.secret:
        return
    if not given.yes:
        if not sys.stdin.isatty():
            message = "Nothing was deleted. Run this in a terminal to be asked, or with --yes."
            raise StopError(message)
        if input("Delete this? [y/N] ").strip().lower() not in ("y", "yes"):
            say("Nothing was deleted.")
            return
    delete(az, found, deployment)


if __name__ == "__main__":
    main(remove_password)
