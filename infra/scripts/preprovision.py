"""Before provisioning: asks Azure for what only the first deployment may make.

azd keeps an environment on one machine. A second operator or a pipeline starts with a fresh one, so what is
there already is asked of Azure at every run. The answers are kept in the environment, from which
main.parameters.json takes them:

CREATE_NOTIFICATION_HUB, EXISTING_HUBS
    Deploying a hub again can remove the credentials of APNs and FCM, and a namespace whose hub has those of
    FCM cannot be deployed again at all. The second variable names what the deployment's own resource group
    has, for the hubs of moreHubs.
KEEP_DATABASE_ADMINISTRATOR
    A new password would lock out every instance that still has the old one.
RECOVER_KEY_VAULT
    After 'azd down' the vault is deleted but keeps its name for seven days: it is brought back.
DATABASE_SIGN_IN
    An app that signs in to its database with a password goes on with that, unless the environment says
    otherwise: the release that is running may know no other way.

Only "not found" means that something is not there, and a subscription that does not know the resource
provider yet: it has nothing of it. Any other failure stops the deployment.
"""

from __future__ import annotations

from dataclasses import dataclass

import python_version  # noqa: F401
from command_line import Az, Azd, CommandError, Json, StopError
from hook import chosen, is_true, main, needed, say

NAMESPACES = "Microsoft.NotificationHubs/namespaces"
HUB_API = "2023-09-01"
VAULT_API = "2025-05-01"
GENERATED_NAMESPACE = "ntfns-"
VAULT_PREFIX = "kv-"
PASSWORD = "mongodb-administrator-password"  # noqa: S105
CONNECTION_STRING = "mongodb-connection-string"
APP_API = "2025-03-01"
APP_PREFIX = "func-"
DATABASE_SETTING = "MongoDbConnectionString"

NOT_REGISTERED = ("MissingSubscriptionRegistration", "SubscriptionNotRegistered")
"""A subscription in which nothing of a resource provider has ever been made; the deployment registers it."""

FRESH = (
    "azd has not asked for it yet in a new environment. Run 'azd up', which asks first; or run "
    "'azd env set AZURE_SUBSCRIPTION_ID …' and 'azd env set AZURE_LOCATION …', then 'azd provision'."
)
SIGN_IN = (
    "az has a sign-in of its own. Run 'az login' ('az login --service-principal …' in a pipeline), see that "
    "'az account list' shows the subscription, and run this again."
)


@dataclass(frozen=True)
class HubChoice:
    """Which hub the operator has chosen; empty fields are left to the deployment."""

    group: str
    namespace: str
    hub: str


def resources(az: Az, group: str, resource_type: str, version: str) -> list[Json] | None:
    """The resources of a type in a group; None if there is no such group, or nothing of that provider.

    Raises:
        StopError: Azure did not say; the message says what to do.
    """
    try:
        return az.list(f"/resourceGroups/{group}/providers/{resource_type}", version)
    except CommandError as error:
        if error.code in ("ResourceGroupNotFound", *NOT_REGISTERED):
            return None
        raise _no_answer(f"what is in the resource group {group}", error) from None


def _no_answer(question: str, error: CommandError) -> StopError:
    return StopError(f"Azure did not say {question}: {error}\n{SIGN_IN}")


def hub_exists(az: Az, own_group: str, choice: HubChoice) -> bool:
    """Whether the hub that the deployment uses is there.

    Raises:
        StopError: Azure did not say; or the chosen hub is not there; or it is not clear which one it is.
    """
    group = choice.group or own_group
    found = resources(az, group, NAMESPACES, HUB_API)
    names = [str(each["name"]) for each in found or []]
    if choice.namespace:
        names = [name for name in names if name.lower() == choice.namespace.lower()]
    else:
        names = [name for name in names if name.startswith(GENERATED_NAMESPACE)]
    if len(names) > 1:
        message = (
            f"{group} has several namespaces for a hub: {', '.join(sorted(names))}. "
            "Choose one: azd env set NOTIFICATION_HUB_NAMESPACE NAME"
        )
        raise StopError(message)
    there = bool(names) and _has_hub(az, group, names[0], choice.hub)
    if choice.group and not there:
        message = (
            f"There is no hub {choice.hub} in {choice.namespace or 'a generated namespace'} of the resource "
            f"group {group}. Correct NOTIFICATION_HUB_RESOURCE_GROUP, NOTIFICATION_HUB_NAMESPACE and "
            "NOTIFICATION_HUB_NAME with azd env set, or clear the first to have a hub made."
        )
        raise StopError(message)
    return there


def _has_hub(az: Az, group: str, namespace: str, hub: str) -> bool:
    return hub.lower() in _hubs(az, group, namespace)


def _hubs(az: Az, group: str, namespace: str) -> list[str]:
    hubs = resources(az, group, f"{NAMESPACES}/{namespace}/notificationHubs", HUB_API)
    # The provider names a hub either by itself or behind its namespace.
    return [str(each["name"]).split("/")[-1].lower() for each in hubs or []]


def existing_hubs(az: Az, group: str) -> list[str]:
    """The namespaces of a group, and behind each its hubs as `namespace/hub`, in lower case.

    Raises:
        StopError: Azure did not say.
    """
    found: list[str] = []
    for each in resources(az, group, NAMESPACES, HUB_API) or []:
        # One that was broken off is finished by deploying it again.
        if (each.get("properties") or {}).get("provisioningState", "Succeeded") == "Succeeded":
            namespace = str(each["name"]).lower()
            found += [namespace, *(f"{namespace}/{hub}" for hub in _hubs(az, group, namespace))]
    return found


@dataclass(frozen=True)
class Vault:
    """The key vault of the deployment."""

    there: bool
    secrets: frozenset[str]
    """Names of its secrets."""


def find_vault(az: Az, group: str) -> Vault:
    """Look at the vault, without a right to read a secret.

    Raises:
        StopError: Azure did not say.
    """
    listed = resources(az, group, "Microsoft.KeyVault/vaults", VAULT_API) or []
    vaults = [str(vault["name"]) for vault in listed if str(vault["name"]).startswith(VAULT_PREFIX)]
    names: set[str] = set()
    for vault in vaults:
        secrets = resources(az, group, f"Microsoft.KeyVault/vaults/{vault}/secrets", VAULT_API) or []
        names |= {str(each["name"]).split("/")[-1] for each in secrets}
    return Vault(bool(vaults), frozenset(names))


def was_deleted(az: Az, group: str, location: str) -> bool:
    """Whether the vault of the deployment was deleted and can still be brought back.

    The region is part of what its name is made of: a deployment that moves to another region gets a new
    vault.

    Raises:
        StopError: Azure did not say.
    """
    try:
        deleted = az.list("/providers/Microsoft.KeyVault/deletedVaults", VAULT_API)
    except CommandError as error:
        if error.code in NOT_REGISTERED:
            return False
        raise _no_answer("which key vaults were deleted", error) from None
    ours = f"/resourcegroups/{group}/providers/microsoft.keyvault/vaults/{VAULT_PREFIX}".lower()
    return any(
        ours in str(each["properties"]["vaultId"]).lower()
        and _region(str(each["properties"]["location"])) == _region(location)
        for each in deleted
    )


def _region(name: str) -> str:
    """`westeurope`, also for `West Europe`."""
    return name.replace(" ", "").lower()


def signs_in_with_password(az: Az, group: str) -> bool:
    """Whether the app is deployed and takes its database's connection string from the key vault.

    Raises:
        StopError: Azure did not say.
    """
    listed = resources(az, group, "Microsoft.Web/sites", APP_API) or []
    apps = [str(app["name"]) for app in listed if str(app["name"]).startswith(APP_PREFIX)]
    try:
        for app in apps:
            command = ("functionapp", "config", "appsettings", "list", "--name", app)
            settings = az.get(*command, "--resource-group", group) or []
            values = [str(each["value"]) for each in settings if each["name"] == DATABASE_SETTING]
            if any(CONNECTION_STRING in value for value in values):
                return True
    except CommandError as error:
        raise _no_answer("which settings the app has", error) from None
    return False


def check_provider(az: Az) -> None:
    """The app's subnet is delegated to a resource provider that no template registers.

    Raises:
        StopError: it is not registered, or Azure did not say.
    """
    try:
        state = az.get("provider", "show", "--namespace", "Microsoft.App", "--query", "registrationState")
    except CommandError as error:
        raise _no_answer("whether Microsoft.App is registered", error) from None
    if state != "Registered":
        message = (
            f"VNET_ENABLED needs the resource provider Microsoft.App, which is {state} in this subscription. "
            "Run 'az provider register --namespace Microsoft.App --wait', then this again."
        )
        raise StopError(message)


def preprovision() -> None:
    """Ask Azure, and keep the answers in azd's environment."""
    environment = needed("AZURE_ENV_NAME", "Run this through azd: azd hooks run preprovision")
    az = Az(needed("AZURE_SUBSCRIPTION_ID", FRESH))
    location = needed("AZURE_LOCATION", FRESH)
    azd = Azd(environment)
    if is_true("VNET_ENABLED", default=False):
        check_provider(az)
    group = f"rg-{environment}"
    choice = HubChoice(
        chosen("NOTIFICATION_HUB_RESOURCE_GROUP"),
        chosen("NOTIFICATION_HUB_NAMESPACE"),
        chosen("NOTIFICATION_HUB_NAME", "calling"),
    )
    hub = hub_exists(az, group, choice)
    there = existing_hubs(az, group)
    vault = find_vault(az, group)
    without_database = not is_true("CREATE_DATABASE", default=True)
    if (
        without_database
        and not chosen("MONGODB_CONNECTION_STRING")
        and CONNECTION_STRING not in vault.secrets
    ):
        message = (
            "CREATE_DATABASE is false, and the key vault holds no connection string yet. "
            "Set it: azd env set-secret MONGODB_CONNECTION_STRING"
        )
        raise StopError(message)
    stays_with_password = (
        not without_database and not chosen("DATABASE_SIGN_IN") and signs_in_with_password(az, group)
    )
    recover = not vault.there and was_deleted(az, group, location)
    azd.set("CREATE_NOTIFICATION_HUB", "false" if hub else "true")
    azd.set("EXISTING_HUBS", ",".join(there))
    azd.set("KEEP_DATABASE_ADMINISTRATOR", "true" if PASSWORD in vault.secrets else "false")
    azd.set("RECOVER_KEY_VAULT", "true" if recover else "false")
    if stays_with_password:
        azd.set("DATABASE_SIGN_IN", "password")
        say(
            "The app signs in to its database with a password, and goes on with that. docs/upgrading.md has "
            "the steps to its identity."
        )
    say(f"Notification hub {choice.hub}: {'is there and stays as it is' if hub else 'will be made'}.")


if __name__ == "__main__":
    main(preprovision)
