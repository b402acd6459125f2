"""The hooks of azd, run against an `az` and an `azd` that record what they are asked."""

import ast
import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.azure_command import ALWAYS, SCRIPTS, Call, FakeAzure, without

SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
ACS_SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
ACS = (
    f"/subscriptions/{ACS_SUBSCRIPTION}/resourceGroups/calls"
    "/providers/Microsoft.Communication/communicationServices/contoso"
)
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-prod"
KEY = "do-not-show-this-key"
NAMESPACES = "/resourceGroups/rg-prod/providers/Microsoft.NotificationHubs/namespaces"
VAULTS = "/resourceGroups/rg-prod/providers/Microsoft.KeyVault/vaults"
SITES = "/resourceGroups/rg-prod/providers/Microsoft.Web/sites"
DELETED = "/providers/Microsoft.KeyVault/deletedVaults"
IDENTITY = "33333333-3333-3333-3333-333333333333"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-abc"
BY_IDENTITY = "mongodb+srv://mongo.example/?tls=true&authMechanism=MONGODB-OIDC"
BY_PASSWORD = (
    "@Microsoft.KeyVault(SecretUri=https://kv-abc.vault.azure.net/secrets/mongodb-connection-string)"
)
HUB = "@Microsoft.KeyVault(SecretUri=https://kv-abc.vault.azure.net/secrets/hub-connection-string)"
ENVIRONMENT = {
    "AZURE_ENV_NAME": "prod",
    "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
    "AZURE_LOCATION": "westeurope",
}


def page(*names: str, link: str | None = None) -> dict[str, Any]:
    """A page of a list of Resource Manager."""
    return {"value": [{"name": name} for name in names], "nextLink": link}


@pytest.fixture
def fresh(tmp_path: Path) -> FakeAzure:
    """Nothing has been deployed, and the environment of azd is new."""
    azure = FakeAzure(tmp_path, environment=dict(ENVIRONMENT))
    azure.refuses(f"rest {NAMESPACES}", "ResourceGroupNotFound")
    azure.refuses(f"rest {VAULTS}", "ResourceGroupNotFound")
    azure.refuses(f"rest {SITES}", "ResourceGroupNotFound")
    azure.answers(f"rest {DELETED}", {"value": []})
    azure.answers("env set")
    return azure


@pytest.fixture
def deployed(fresh: FakeAzure) -> FakeAzure:
    """Everything has been deployed, and the environment of azd is new: a second operator, a pipeline."""
    fresh.answers(f"rest {NAMESPACES}", page("ntfns-abc"))
    fresh.answers(f"rest {NAMESPACES}/ntfns-abc/notificationHubs", page("ntfns-abc/calling"))
    fresh.answers(f"rest {VAULTS}", page("kv-abc"))
    names = ("mongodb-administrator-password", "mongodb-connection-string", "hub-connection-string")
    fresh.answers(f"rest {VAULTS}/kv-abc/secrets", page(*names))
    fresh.answers(f"rest {SITES}", page("func-abc"))
    signs_in(fresh, BY_IDENTITY)
    return fresh


def signs_in(azure: FakeAzure, connection: str, *more: str) -> None:
    """The app's settings hold this connection string, and more values."""
    values = {"MongoDbConnectionString": connection, "Other": KEY}
    values |= {f"More{number}": value for number, value in enumerate(more)}
    settings = [{"name": name, "value": value} for name, value in values.items()]
    azure.answers("functionapp config appsettings list", settings)


def kept(
    *, create_hub: bool, keep_password: bool, recover_vault: bool = False, hubs: str | None = ""
) -> dict[str, str]:
    """What a hook keeps in azd's environment."""
    values = {
        "CREATE_NOTIFICATION_HUB": create_hub,
        "KEEP_DATABASE_ADMINISTRATOR": keep_password,
        "RECOVER_KEY_VAULT": recover_vault,
    }
    kept = {name: str(value).lower() for name, value in values.items()}
    return kept if hubs is None else kept | {"EXISTING_HUBS": hubs}


class TestPreprovision:
    def test_first_run(self, fresh: FakeAzure) -> None:
        """Where there is no resource group, hub and password are made."""
        done = fresh.run("preprovision.py")
        assert done.code == 0, done.err
        assert fresh.kept() == kept(create_hub=True, keep_password=False)

    def test_second_operator(self, deployed: FakeAzure) -> None:
        """A fresh environment over an existing deployment makes neither anew."""
        done = deployed.run("preprovision.py")
        assert done.code == 0, done.err
        hubs = "ntfns-abc,ntfns-abc/calling"
        assert deployed.kept() == kept(create_hub=False, keep_password=True, hubs=hubs)

    def test_further_hubs(self, deployed: FakeAzure) -> None:
        """Every namespace and hub of the group is named, so that none of moreHubs is made a second time.

        What was broken off is left out, and so finished.
        """
        namespaces = page("ntfns-abc", "Debug", "broken")
        namespaces["value"][1]["properties"] = {"provisioningState": "Succeeded"}
        namespaces["value"][2]["properties"] = {"provisioningState": "Failed"}
        deployed.answers(f"rest {NAMESPACES}", namespaces)
        deployed.answers(f"rest {NAMESPACES}/debug/notificationHubs", page("debug/One", "two"))
        done = deployed.run("preprovision.py")
        assert done.code == 0, done.err
        hubs = "ntfns-abc,ntfns-abc/calling,debug,debug/one,debug/two"
        assert deployed.kept() == kept(create_hub=False, keep_password=True, hubs=hubs)

    def test_after_azd_down(self, fresh: FakeAzure) -> None:
        """A vault that was deleted with the group is brought back; those of other groups and regions are not.

        A vault of another region has another name, so that there would be nothing to bring back.
        """
        vault = f"{GROUP}/providers/Microsoft.KeyVault/vaults"
        others = [f"{GROUP}-2/providers/Microsoft.KeyVault/vaults/kv-abc", f"{vault}/payroll"]
        place = {"location": "West Europe"}
        listed: list[dict[str, Any]] = [
            {"name": "x", "properties": {"vaultId": each, **place}} for each in others
        ]
        elsewhere = {"vaultId": f"{vault}/kv-old", "location": "eastus"}
        listed.append({"name": "kv-old", "properties": elsewhere})
        fresh.answers(f"rest {DELETED}", {"value": listed})
        assert fresh.run("preprovision.py").code == 0
        assert fresh.kept() == kept(create_hub=True, keep_password=False)
        ours = {"name": "kv-abc", "properties": {"vaultId": f"{vault.upper()}/kv-abc", **place}}
        fresh.answers(f"rest {DELETED}", {"value": [*listed, ours]})
        assert fresh.run("preprovision.py").code == 0
        assert fresh.kept() == kept(create_hub=True, keep_password=False, recover_vault=True)

    @pytest.mark.parametrize("code", ["MissingSubscriptionRegistration", "SubscriptionNotRegistered"])
    def test_empty_subscription(self, fresh: FakeAzure, code: str) -> None:
        """A subscription that has never used a resource provider refuses to list its resources: it has
        none."""
        for path in (NAMESPACES, VAULTS, SITES, DELETED):
            fresh.refuses(f"rest {path}", code, status="Conflict")
        done = fresh.run("preprovision.py")
        assert done.code == 0, done.err
        assert fresh.kept() == kept(create_hub=True, keep_password=False)

    def test_it_only_looks(self, deployed: FakeAzure) -> None:
        """Nothing in Azure is changed, and no secret is read."""
        deployed.run("preprovision.py")
        rest = [call for call in deployed.calls() if "rest" in call.arguments]
        assert rest
        assert {call.option("--method") for call in rest} == {"get"}
        assert not deployed.calls("keyvault secret")

    def test_stale_values(self, fresh: FakeAzure) -> None:
        """What the environment says from earlier does not count: after 'azd down' all is made again."""
        fresh.environment |= {
            "CREATE_NOTIFICATION_HUB": "false",
            "KEEP_DATABASE_ADMINISTRATOR": "true",
            "NOTIFICATION_HUB_NAMESPACE": "ntfns-abc",
        }
        assert fresh.run("preprovision.py").code == 0
        assert fresh.kept() == kept(create_hub=True, keep_password=False)

    def test_broken_off(self, deployed: FakeAzure) -> None:
        """A namespace without its hub, and a vault without its secret, are finished."""
        deployed.answers(f"rest {NAMESPACES}/ntfns-abc/notificationHubs", page())
        deployed.answers(f"rest {VAULTS}/kv-abc/secrets", page("hub-connection-string"))
        assert deployed.run("preprovision.py").code == 0
        assert deployed.kept() == kept(create_hub=True, keep_password=False, hubs="ntfns-abc")

    def test_other_resources(self, deployed: FakeAzure) -> None:
        """Namespaces, hubs and vaults of others in the same group are not taken for the deployment's."""
        deployed.answers(f"rest {NAMESPACES}", page("chat", "ntfns-abc"))
        deployed.answers(f"rest {NAMESPACES}/chat/notificationHubs", page("calling"))
        deployed.answers(f"rest {VAULTS}", page("payroll", "kv-abc"))
        assert deployed.run("preprovision.py").code == 0
        assert deployed.kept()["CREATE_NOTIFICATION_HUB"] == "false"
        assert not deployed.calls("payroll")

    def test_pages(self, deployed: FakeAzure) -> None:
        """A long list is read to its end; no argument holds what cmd.exe would read as its own."""
        link = f"https://management.azure.com/subscriptions/{SUBSCRIPTION}{VAULTS}/kv-abc/secrets?%24skiptoken=a%3D%3D&api-version=1"
        deployed.answers(
            f"rest {VAULTS}/kv-abc/secrets $skiptoken=a==", page("mongodb-administrator-password")
        )
        deployed.answers(f"rest {VAULTS}/kv-abc/secrets api-version=2025-05-01", page("other", link=link))
        assert deployed.run("preprovision.py").code == 0
        assert deployed.kept()["KEEP_DATABASE_ADMINISTRATOR"] == "true"
        assert not [a for call in deployed.calls() for a in call.arguments if set(a) & set('&|"<>^%')]

    @pytest.mark.parametrize(
        ("code", "status"),
        [
            ("AuthorizationFailed", "Forbidden"),
            ("SubscriptionNotFound", "Not Found"),
            ("InvalidAuthenticationToken", "Unauthorized"),
            ("ServerTimeout", "Gateway Timeout"),
        ],
    )
    @pytest.mark.parametrize("path", [NAMESPACES, f"{NAMESPACES}/ntfns-abc/notificationHubs", VAULTS])
    def test_only_not_found_means_none(self, deployed: FakeAzure, path: str, code: str, status: str) -> None:
        """Any other refusal stops the deployment, with what Azure said and what to do."""
        deployed.refuses(f"rest {path}", code, status=status)
        done = deployed.run("preprovision.py")
        assert done.code == 1
        assert code in done.err
        assert "az login" in done.err
        assert deployed.kept() == {}

    def test_not_signed_in(self, fresh: FakeAzure) -> None:
        """Without a sign-in of az nothing is assumed."""
        fresh.answers("rest", failures=ALWAYS, error="ERROR: Please run 'az login' to setup account.")
        done = fresh.run("preprovision.py")
        assert done.code == 1
        assert "az has a sign-in of its own" in done.err
        assert fresh.kept() == {}

    def test_tables(self, deployed: FakeAzure) -> None:
        """What is read is asked for as JSON: an operator may have configured az to print tables."""
        deployed.run("preprovision.py")
        assert deployed.calls("rest")
        assert {call.option("--output") for call in deployed.calls("rest")} == {"json"}

    @pytest.mark.parametrize("name", ["AZURE_SUBSCRIPTION_ID", "AZURE_LOCATION"])
    def test_no_subscription_yet(self, fresh: FakeAzure, name: str) -> None:
        """'azd provision' runs this before it asks for subscription and region of a new environment."""
        fresh.environment = without(fresh.environment, name)
        done = fresh.run("preprovision.py")
        assert done.code == 1
        assert "azd up" in done.err
        assert fresh.calls() == []

    @pytest.mark.parametrize("tool", ["az", "azd"])
    def test_missing_tool(self, fresh: FakeAzure, tool: str) -> None:
        """A command that is not installed is named, with where to get it."""
        done = fresh.run("preprovision.py", tools=tuple({"az", "azd"} - {tool}))
        assert done.code == 1
        assert f"{tool} is needed: https://aka.ms/" in done.err


class TestNetwork:
    """A virtual network needs a resource provider that nothing else needs."""

    @pytest.mark.parametrize("state", ["NotRegistered", "Registering"])
    def test_is_not_registered(self, fresh: FakeAzure, state: str) -> None:
        """It says so before anything is made, with the command that registers it."""
        fresh.environment["VNET_ENABLED"] = "true"
        fresh.answers("provider show Microsoft.App", f'"{state}"')
        done = fresh.run("preprovision.py")
        assert done.code == 1
        assert "az provider register --namespace Microsoft.App --wait" in done.err
        assert fresh.kept() == {}

    def test_is_registered(self, fresh: FakeAzure) -> None:
        fresh.environment["VNET_ENABLED"] = "true"
        fresh.answers("provider show Microsoft.App", '"Registered"')
        done = fresh.run("preprovision.py")
        assert done.code == 0, done.err

    def test_without_a_network(self, fresh: FakeAzure) -> None:
        """Nothing is asked."""
        assert fresh.run("preprovision.py").code == 0
        assert not fresh.calls("provider show")


class TestChosenHub:
    """An existing hub that the operator has chosen."""

    OTHER = "/resourceGroups/shared/providers/Microsoft.NotificationHubs/namespaces"

    @pytest.fixture
    def chosen(self, fresh: FakeAzure) -> FakeAzure:
        fresh.environment |= {
            "NOTIFICATION_HUB_RESOURCE_GROUP": "shared",
            "NOTIFICATION_HUB_NAMESPACE": "Company",
            "NOTIFICATION_HUB_NAME": "Phones",
        }
        fresh.answers(f"rest {self.OTHER}", page("other", "company"))
        fresh.answers(f"rest {self.OTHER}/company/notificationHubs", page("phones"))
        return fresh

    def test_is_used(self, chosen: FakeAzure) -> None:
        """It stays as it is, also at the first deployment; letter case does not matter."""
        assert chosen.run("preprovision.py").code == 0
        assert chosen.kept()["CREATE_NOTIFICATION_HUB"] == "false"

    def test_is_not_there(self, chosen: FakeAzure) -> None:
        """One that does not exist is a mistake, not a wish to have it made."""
        chosen.answers(f"rest {self.OTHER}/company/notificationHubs", page())
        done = chosen.run("preprovision.py")
        assert done.code == 1
        assert "There is no hub Phones in Company of the resource group shared" in done.err
        assert chosen.kept() == {}

    def test_group_is_not_there(self, chosen: FakeAzure) -> None:
        """Neither is a group that does not exist."""
        chosen.refuses(f"rest {self.OTHER}", "ResourceGroupNotFound")
        done = chosen.run("preprovision.py")
        assert done.code == 1
        assert "NOTIFICATION_HUB_RESOURCE_GROUP" in done.err

    def test_own_group(self, fresh: FakeAzure) -> None:
        """A namespace of that name in the own group is used if it is there and made if not."""
        fresh.environment["NOTIFICATION_HUB_NAMESPACE"] = "company"
        assert fresh.run("preprovision.py").code == 0
        assert fresh.kept()["CREATE_NOTIFICATION_HUB"] == "true"
        fresh.answers(f"rest {NAMESPACES}", page("company"))
        fresh.answers(f"rest {NAMESPACES}/company/notificationHubs", page("calling"))
        assert fresh.run("preprovision.py").code == 0
        assert fresh.kept()["CREATE_NOTIFICATION_HUB"] == "false"

    def test_several(self, fresh: FakeAzure) -> None:
        """Two generated namespaces are a question for the operator."""
        fresh.answers(f"rest {NAMESPACES}", page("ntfns-a", "ntfns-b"))
        done = fresh.run("preprovision.py")
        assert done.code == 1
        assert "azd env set NOTIFICATION_HUB_NAMESPACE" in done.err


class TestOwnDatabase:
    """A MongoDB that the operator brings."""

    @pytest.fixture
    def own(self, fresh: FakeAzure) -> FakeAzure:
        fresh.environment["CREATE_DATABASE"] = "false"
        return fresh

    def test_no_connection_string(self, own: FakeAzure) -> None:
        """Without a connection string, here or in the vault, the app could not start."""
        done = own.run("preprovision.py")
        assert done.code == 1
        assert "MONGODB_CONNECTION_STRING" in done.err
        assert own.kept() == {}

    def test_given(self, own: FakeAzure) -> None:
        """One that is given is enough, and is not shown."""
        own.environment["MONGODB_CONNECTION_STRING"] = f"mongodb://u:{KEY}@example"
        done = own.run("preprovision.py")
        assert done.code == 0
        assert KEY not in done.out + done.err + own.recorded()

    def test_in_the_vault(self, deployed: FakeAzure) -> None:
        """One that is in the vault is enough."""
        deployed.environment["CREATE_DATABASE"] = "false"
        assert deployed.run("preprovision.py").code == 0


class TestDatabaseSignIn:
    """A new release does not change how an app that runs signs in to its database."""

    def test_with_a_password(self, deployed: FakeAzure) -> None:
        """It goes on with the password, and the operator is told where the steps away from it are."""
        signs_in(deployed, BY_PASSWORD)
        done = deployed.run("preprovision.py")
        assert done.code == 0, done.err
        assert deployed.kept()["DATABASE_SIGN_IN"] == "password"
        assert "docs/upgrading.md" in done.out
        assert KEY not in done.out + done.err

    @pytest.mark.parametrize("chosen", ["identity", "password"])
    def test_chosen(self, deployed: FakeAzure, chosen: str) -> None:
        """What the environment says counts, and Azure is not asked."""
        signs_in(deployed, BY_PASSWORD)
        deployed.environment["DATABASE_SIGN_IN"] = chosen
        assert deployed.run("preprovision.py").code == 0
        assert "DATABASE_SIGN_IN" not in deployed.kept()
        assert not deployed.calls("functionapp")

    def test_without_a_password(self, deployed: FakeAzure) -> None:
        """An app that signs in with its identity needs nothing kept: that is the default."""
        assert deployed.run("preprovision.py").code == 0
        assert "DATABASE_SIGN_IN" not in deployed.kept()

    def test_other_apps(self, deployed: FakeAzure) -> None:
        """An app of others in the group is not asked."""
        deployed.answers(f"rest {SITES}", page("payroll"))
        assert deployed.run("preprovision.py").code == 0
        assert not deployed.calls("functionapp")

    def test_no_answer(self, deployed: FakeAzure) -> None:
        """Where the settings cannot be read, nothing is kept: a wrong guess would cut the app off."""
        deployed.answers("functionapp config appsettings list", failures=ALWAYS, error="ERROR: (Forbidden)")
        done = deployed.run("preprovision.py")
        assert done.code == 1
        assert "az login" in done.err
        assert deployed.kept() == {}


class TestPostprovision:
    def test_the_connection_string(self, fresh: FakeAzure) -> None:
        """It is cleared once it is in the vault: the next provision would undo its change there."""
        fresh.environment |= {"CREATE_DATABASE": "false", "MONGODB_CONNECTION_STRING": f"mongodb://u:{KEY}@x"}
        done = fresh.run("postprovision.py")
        assert done.code == 0, done.err
        assert fresh.kept()["MONGODB_CONNECTION_STRING"] == ""
        assert "docs/security.md" in done.out
        assert KEY not in done.out + done.err + fresh.recorded()

    def test_a_connection_string_that_is_not_used(self, fresh: FakeAzure) -> None:
        """With a database of the deployment's own it is not in the vault, and stays."""
        fresh.environment["MONGODB_CONNECTION_STRING"] = KEY
        assert fresh.run("postprovision.py").code == 0
        assert "MONGODB_CONNECTION_STRING" not in fresh.kept()

    def test_the_hub_was_made(self, fresh: FakeAzure) -> None:
        """A provision without hooks cannot make hub or password again, and the next step is named."""
        fresh.environment |= {"CREATE_NOTIFICATION_HUB": "true", "FCM_V1_CREDENTIAL": KEY}
        done = fresh.run("postprovision.py")
        assert done.code == 0, done.err
        assert fresh.kept() == kept(create_hub=False, keep_password=True, hubs=None)
        assert "FCM_V1_CREDENTIAL" in done.out
        assert "APNS_CREDENTIAL" not in done.out
        assert KEY not in done.out

    def test_the_hub_was_there(self, fresh: FakeAzure) -> None:
        """Where it was there, nothing is said of credentials."""
        fresh.environment["CREATE_NOTIFICATION_HUB"] = "false"
        done = fresh.run("postprovision.py")
        assert (done.code, done.out) == (0, "")

    def test_own_database(self, fresh: FakeAzure) -> None:
        """Without a cluster there is no password to keep."""
        fresh.environment["CREATE_DATABASE"] = "false"
        assert fresh.run("postprovision.py").code == 0
        assert fresh.kept() == {"KEEP_DATABASE_ADMINISTRATOR": "false", "RECOVER_KEY_VAULT": "false"}


def topic(identity: object = "SystemAssigned", source: str = ACS) -> list[dict[str, Any]]:
    """The system topics of the subscription: that of another resource, and ours."""
    kind = None if identity is None else {"type": identity}
    return [
        {"name": "other-topic", "resourceGroup": "other", "source": f"{ACS}-other", "identity": None},
        {"name": "calls-topic", "resourceGroup": "topics", "source": source, "identity": kind},
    ]


@pytest.fixture
def app(tmp_path: Path) -> FakeAzure:
    """The function is there; the Communication Services resource has no system topic yet."""
    azure = FakeAzure(
        tmp_path,
        environment={
            **ENVIRONMENT,
            "AZURE_RESOURCE_GROUP": "rg-prod",
            "AZURE_FUNCTION_APP_NAME": "func-prod",
            "AZURE_FUNCTION_APP_ID": f"{GROUP}/providers/Microsoft.Web/sites/func-prod",
            "DEAD_LETTER_STORAGE_ACCOUNT_ID": f"{GROUP}/providers/Microsoft.Storage/storageAccounts/stdl",
            "DEAD_LETTER_CONTAINER": "dead-letters",
            "LOG_WORKSPACE_ID": f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/log",
            "EVENT_SOURCE_ID": ACS,
            "CALL_ENDS": "false",
            "WAIT_ATTEMPTS": "4",
            "WAIT_SECONDS": "0",
        },
    )
    azure.answers("functionapp function show", {"name": "func-prod/IncomingCallEventHandler"})
    azure.answers("functionapp keys list", {"systemKeys": {"eventgrid_extension": KEY}})
    azure.answers("eventgrid system-topic list", [])
    azure.answers("eventgrid system-topic event-subscription list", [])
    azure.answers("rest patch")
    azure.answers("deployment group create")
    return azure


def parameters(call: Call) -> dict[str, Any]:
    """The parameters of a deployment."""
    (file,) = call.files
    return {name: value["value"] for name, value in file["parameters"].items()}


class TestSubscription:
    def test_new_topic(self, app: FakeAzure) -> None:
        """Without a system topic, one is made beside the Communication Services resource."""
        done = app.run("postdeploy.py")
        assert done.code == 0, done.err
        (call,) = app.calls("deployment group create")
        assert call.option("--subscription") == ACS_SUBSCRIPTION
        assert call.option("--resource-group") == "calls"
        assert Path(call.option("--template-file")) == SCRIPTS.parent / "events.bicep"
        given = parameters(call)
        assert (given["systemTopicName"], given["createSystemTopic"]) == ("contoso-events", True)
        assert given["subscriptionName"] == "ring-prod"
        assert given["communicationServiceId"] == ACS

    def test_names(self, app: FakeAzure) -> None:
        """Event Grid takes letters, digits and hyphens, 50 for a topic: environments and resources may have
        more."""
        app.environment["AZURE_ENV_NAME"] = "calls_prod.(eu)"
        app.environment["EVENT_SOURCE_ID"] = ACS.replace("contoso", "c" * 63)
        done = app.run("postdeploy.py")
        assert done.code == 0, done.err
        given = parameters(app.calls("deployment group create")[0])
        assert given["subscriptionName"] == "ring-calls-prod--eu-"
        assert given["systemTopicName"] == "c" * 43 + "-events"
        assert given["deadLetters"] is True
        assert given["storageAccountId"].endswith("/stdl")
        assert given["callEnds"] is False
        assert app.calls("rest") == []

    @pytest.mark.parametrize("source", [ACS, ACS.upper(), ACS.replace("communicationS", "CommunicationS")])
    def test_existing_topic(self, app: FakeAzure, source: str) -> None:
        """A system topic that is there is used, however its source is spelt."""
        app.answers("eventgrid system-topic list", topic(source=source))
        assert app.run("postdeploy.py").code == 0
        (call,) = app.calls("deployment group create")
        assert call.option("--resource-group") == "topics"
        given = parameters(call)
        assert (given["systemTopicName"], given["createSystemTopic"]) == ("calls-topic", False)
        assert app.calls("rest") == []

    def test_twice(self, app: FakeAzure) -> None:
        """Run again, it asks for the same thing."""
        app.answers("eventgrid system-topic list", topic())
        app.run("postdeploy.py")
        first = parameters(app.calls("deployment")[-1])
        assert app.run("postdeploy.py").code == 0
        assert parameters(app.calls("deployment")[-1]) == first

    def test_call_ends(self, app: FakeAzure) -> None:
        """Where stop pushes or missed calls are on, the ends of calls are subscribed to as well."""
        app.environment["CALL_ENDS"] = "true"
        app.run("postdeploy.py")
        assert parameters(app.calls("deployment")[-1])["callEnds"] is True

    def test_takes_a_subscription_over(self, app: FakeAzure) -> None:
        """A subscription of another app that is named has its calls come here from one moment to the next."""
        app.answers("eventgrid system-topic list", topic())
        app.environment["EVENT_SUBSCRIPTION_NAME"] = "sample"
        app.run("postdeploy.py")
        assert parameters(app.calls("deployment")[-1])["subscriptionName"] == "sample"

    def test_warns_of_others(self, app: FakeAzure) -> None:
        """Another subscription to incoming calls is named: phones may ring twice."""
        calls = {"includedEventTypes": ["Microsoft.Communication.IncomingCall"]}
        chat = {"includedEventTypes": ["Microsoft.Communication.ChatMessageReceived"]}
        app.answers("eventgrid system-topic list", topic())
        app.answers(
            "eventgrid system-topic event-subscription list",
            [
                {"name": "sample", "filter": calls},
                {"name": "ring-prod", "filter": calls},
                {"name": "chat", "filter": chat},
                {"name": "all", "filter": {"includedEventTypes": None}},
            ],
        )
        done = app.run("postdeploy.py")
        assert done.code == 0
        assert done.err.count("WARNING") == 1
        assert "subscription sample as well" in done.err

    def test_not_yet(self, app: FakeAzure) -> None:
        """With EVENT_SUBSCRIPTION=no nothing is asked of Azure."""
        app.environment["EVENT_SUBSCRIPTION"] = "no"
        assert app.run("postdeploy.py").code == 0
        assert app.calls() == []


class TestDeadLetters:
    def test_topic_without_identity(self, app: FakeAzure) -> None:
        """A topic without an identity gets one, and nothing else of it changes."""
        app.answers("eventgrid system-topic list", topic(None))
        assert app.run("postdeploy.py").code == 0
        (call,) = app.calls("rest --method patch")
        assert call.files == [{"identity": {"type": "SystemAssigned"}}]
        assert "/resourceGroups/topics/" in call.option("--url")
        assert call.option("--url").endswith("systemTopics/calls-topic")
        assert parameters(app.calls("deployment")[-1])["deadLetters"] is True

    def test_existing_topic_takes_none(self, app: FakeAzure) -> None:
        """Where Azure refuses the identity, the subscription is made without dead letters, with a warning."""
        app.answers("eventgrid system-topic list", topic(None))
        app.refuses("rest patch", "InvalidRequest", status="Bad Request")
        done = app.run("postdeploy.py")
        assert done.code == 0, done.err
        (call,) = app.calls("deployment group create")
        assert parameters(call)["deadLetters"] is False
        assert "WITHOUT dead letters" in done.err
        assert "InvalidRequest" in done.err

    def test_new_topic_takes_none(self, app: FakeAzure) -> None:
        """So it is where a new topic cannot be made with an identity."""
        app.answers("deployment group create", failures=3, error="ERROR: (InvalidRequest) no identity here")
        done = app.run("postdeploy.py")
        assert done.code == 0, done.err
        calls = [parameters(call) for call in app.calls("deployment group create")]
        assert [call["deadLetters"] for call in calls] == [True, True, True, False]
        assert calls[-1]["createSystemTopic"] is True
        assert "WITHOUT dead letters" in done.err

    def test_topic_with_another_identity(self, app: FakeAzure) -> None:
        """An identity that the topic has already is not taken away; the warning says what to do."""
        app.answers("eventgrid system-topic list", topic("UserAssigned"))
        done = app.run("postdeploy.py")
        assert done.code == 0
        assert "turn on the system-assigned one" in done.err
        assert app.calls("rest") == []
        assert parameters(app.calls("deployment")[-1])["deadLetters"] is False

    def test_role_takes_a_while(self, app: FakeAzure) -> None:
        """Event Grid may refuse the container until the role is known everywhere, so it is asked again."""
        app.answers("eventgrid system-topic list", topic())
        app.answers("deployment group create", failures=2)
        done = app.run("postdeploy.py")
        assert done.code == 0
        assert [parameters(call)["deadLetters"] for call in app.calls("deployment")] == [True] * 3
        assert "WITHOUT" not in done.err

    def test_refused_for_good(self, app: FakeAzure) -> None:
        """A refusal of something else does not take the dead letters away: it ends with what Azure said."""
        app.answers("eventgrid system-topic list", topic())
        app.answers("deployment group create", failures=ALWAYS, error="ERROR: (AuthorizationFailed) no right")
        done = app.run("postdeploy.py")
        assert done.code == 1
        assert "AuthorizationFailed" in done.err
        assert [parameters(call)["deadLetters"] for call in app.calls("deployment")] == [True] * 3


class TestWaiting:
    def test_function_and_key(self, app: FakeAzure) -> None:
        """It waits until the function is there, then until the Event Grid extension has its key."""
        app.answers("functionapp function show", {"name": "x"}, failures=1)
        app.answers("functionapp keys list", {"systemKeys": {"eventgrid_extension": KEY}}, failures=2)
        assert app.run("postdeploy.py").code == 0
        assert len(app.calls("function show")) == 4
        assert len(app.calls("keys list")) == 3

    @pytest.mark.parametrize(
        ("words", "answer"),
        [("functionapp function show", ""), ("functionapp keys list", {"systemKeys": {}})],
    )
    def test_never(self, app: FakeAzure, words: str, answer: object) -> None:
        """What does not appear in time is an error that says how to go on, and nothing is subscribed."""
        app.answers(words, answer)
        done = app.run("postdeploy.py")
        assert done.code == 1
        assert "azd hooks run postdeploy" in done.err
        assert app.calls("deployment") == []


class TestSafety:
    def test_the_key_stays_where_it_is(self, app: FakeAzure) -> None:
        """The key is neither printed nor handed to anything."""
        app.answers("eventgrid system-topic list", topic(None))
        done = app.run("postdeploy.py")
        assert KEY not in done.out + done.err + app.recorded()

    @pytest.mark.parametrize("name", ["AZURE_ENV_NAME", "EVENT_SOURCE_ID", "DEAD_LETTER_STORAGE_ACCOUNT_ID"])
    def test_missing_environment(self, app: FakeAzure, name: str) -> None:
        """Without what azd passes it says what is missing."""
        app.environment[name] = ""
        done = app.run("postdeploy.py")
        assert done.code == 1
        assert f"{name} is not set" in done.err
        assert app.calls() == []

    def test_wrong_resource(self, app: FakeAzure) -> None:
        """A name in place of a resource id is refused."""
        app.environment["EVENT_SOURCE_ID"] = "contoso"
        assert app.run("postdeploy.py").code == 1
        assert app.calls() == []

    def test_no_files_are_left(self, app: FakeAzure, tmp_path: Path) -> None:
        """The files that parameters are handed over in are deleted."""
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        app.environment["TMPDIR"] = str(temporary)
        app.answers("eventgrid system-topic list", topic(None))
        assert app.run("postdeploy.py").code == 0
        assert list(temporary.iterdir()) == []


class TestPushCredential:
    """Credentials of push services, as Resource Manager expects them."""

    @staticmethod
    def _decoded(printed: str) -> dict[str, str]:
        properties: dict[str, str] = json.loads(base64.b64decode(printed))
        return properties

    @pytest.mark.parametrize(("option", "host"), [((), "api.push"), (("--sandbox",), "api.development.push")])
    def test_apns(self, fresh: FakeAzure, tmp_path: Path, option: tuple[str, ...], host: str) -> None:
        """The key is what stands between the lines of the .p8 file."""
        key = tmp_path / "AuthKey.p8"
        key.write_text("-----BEGIN PRIVATE KEY-----\nMIGT\nAgEA\n-----END PRIVATE KEY-----\n")
        options = ("--key-id", "K", "--team-id", "T", "--bundle-id", "com.example.app", *option)
        done = fresh.run("push_credential.py", "apns", str(key), *options)
        assert done.code == 0, done.err
        assert self._decoded(done.out) == {
            "endpoint": f"https://{host}.apple.com:443/3/device",
            "keyId": "K",
            "appId": "T",
            "appName": "com.example.app",
            "token": "MIGTAgEA",
        }

    def test_fcm_v1(self, fresh: FakeAzure, tmp_path: Path) -> None:
        """Line ends in the key survive, and what is printed needs no quoting anywhere."""
        account = {"client_email": "a@b", "private_key": "-----\nx\n", "project_id": "p", "type": "service"}
        file = tmp_path / "account.json"
        file.write_text(json.dumps(account))
        done = fresh.run("push_credential.py", "fcmv1", str(file))
        assert self._decoded(done.out) == {
            "clientEmail": "a@b",
            "privateKey": "-----\nx\n",
            "projectId": "p",
        }
        assert not set(done.out.strip()) & set("\"'\\\n $")

    def test_browser(self, fresh: FakeAzure, tmp_path: Path) -> None:
        """VAPID keys; the private one comes from a file, not from the command line."""
        key = tmp_path / "key"
        key.write_text("private\n")
        options = ("--subject", "mailto:a@b", "--public-key", "public", "--private-key-file", str(key))
        done = fresh.run("push_credential.py", "browser", *options)
        assert self._decoded(done.out) == {
            "subject": "mailto:a@b",
            "vapidPublicKey": "public",
            "vapidPrivateKey": "private",
        }

    @pytest.mark.parametrize("service", ["apns", "fcmv1"])
    def test_wrong_file(self, fresh: FakeAzure, tmp_path: Path, service: str) -> None:
        """A wrong file is refused with what it should be, and not quoted."""
        file = tmp_path / "file"
        file.write_text(json.dumps({"private_key": KEY}))
        options = ("--key-id", "K", "--team-id", "T", "--bundle-id", "B") if service == "apns" else ()
        done = fresh.run("push_credential.py", service, str(file), *options)
        assert done.code == 1
        assert "file" in done.err
        assert KEY not in done.out + done.err


def assignment(
    scope: str, principal: str = IDENTITY, role: str = "4633458b-17de-408a-b874-0445c86b69e6"
) -> Any:
    """A role assignment, as az lists it."""
    return {
        "id": f"{scope}/providers/Microsoft.Authorization/roleAssignments/{principal}",
        "scope": scope,
        "principalId": principal,
        "principalName": f"name of {principal}",
        "roleDefinitionId": f"/subscriptions/x/providers/Microsoft.Authorization/roleDefinitions/{role}",
    }


class TestRemovePassword:
    """The last step of the upgrade to a database without a password."""

    @pytest.fixture
    def upgraded(self, tmp_path: Path) -> FakeAzure:
        """The app signs in with its identity; everything of the older deployment is still there."""
        azure = FakeAzure(tmp_path)
        for name, value in {
            "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
            "AZURE_RESOURCE_GROUP": "rg-prod",
            "AZURE_FUNCTION_APP_NAME": "func-prod",
            "AZURE_KEY_VAULT_NAME": "kv-abc",
        }.items():
            azure.answers(f"env get-value {name}", value)
        identities = {"id": {"principalId": IDENTITY, "clientId": "c"}}
        azure.answers("functionapp identity show", {"userAssignedIdentities": identities})
        signs_in(azure, BY_IDENTITY, HUB)
        azure.answers(f"role assignment list {VAULT}", [assignment(VAULT)])
        for secret in ("hub-connection-string", "mongodb-connection-string"):
            scope = f"{VAULT}/secrets/{secret}"
            azure.answers(f"role assignment list {scope}", [assignment(scope)])
        secrets = page("mongodb-connection-string", "mongodb-administrator-password", "hub-connection-string")
        azure.answers(f"rest {VAULTS}/kv-abc/secrets", secrets)
        azure.answers("keyvault secret delete")
        azure.answers("role assignment delete")
        return azure

    @staticmethod
    def deleted(azure: FakeAzure) -> list[str]:
        """Ids of the assignments, and names of the secrets, that were deleted."""
        return [
            call.option("--ids" if "role" in call.arguments else "--name") for call in azure.calls("delete")
        ]

    def test_all(self, upgraded: FakeAzure) -> None:
        """Secret and roles go; the administrator's password and the hub's keys stay."""
        done = upgraded.run("remove_password.py", "--yes")
        assert done.code == 0, done.err
        assert self.deleted(upgraded) == [
            "mongodb-connection-string",
            assignment(VAULT)["id"],
            assignment(f"{VAULT}/secrets/mongodb-connection-string")["id"],
        ]
        assert KEY not in done.out + done.err

    def test_it_asks_first(self, upgraded: FakeAzure) -> None:
        """Without a terminal to ask in, it says what it would delete and deletes nothing."""
        done = upgraded.run("remove_password.py")
        assert done.code == 1
        assert f"the app's role Key Vault Secrets User on {VAULT}" in done.out
        assert "the secret mongodb-connection-string" in done.out
        assert "Nothing was deleted" in done.err
        assert self.deleted(upgraded) == []

    def test_still_with_a_password(self, upgraded: FakeAzure) -> None:
        """While the app needs the connection string, only the role on the whole vault goes."""
        signs_in(upgraded, BY_PASSWORD, HUB)
        assert upgraded.run("remove_password.py", "--yes").code == 0
        assert self.deleted(upgraded) == [assignment(VAULT)["id"]]

    def test_before_the_upgrade(self, upgraded: FakeAzure) -> None:
        """Where the role on the vault is the only one, the app would lose its secrets: nothing is deleted."""
        upgraded.answers(f"role assignment list {VAULT}/secrets/hub-connection-string", [])
        done = upgraded.run("remove_password.py", "--yes")
        assert done.code == 1
        assert "azd provision" in done.err
        assert self.deleted(upgraded) == []

    @pytest.mark.parametrize(
        "reference",
        [
            "@Microsoft.KeyVault(SecretUri=https://KV-abc.vault.azure.net/secrets/sandbox-hub/0123abcd)",
            "@Microsoft.KeyVault(VaultName=kv-abc;SecretName=sandbox-hub)",
        ],
    )
    def test_a_secret_of_ones_own(self, upgraded: FakeAzure, reference: str) -> None:
        """A secret that only the role on the vault opens would be lost to the app: nothing is deleted."""
        signs_in(upgraded, BY_IDENTITY, HUB, reference)
        scope = f"{VAULT}/secrets/sandbox-hub"
        upgraded.answers(f"role assignment list {scope}", [])
        done = upgraded.run("remove_password.py", "--yes")
        assert done.code == 1
        assert f"--assignee-object-id {IDENTITY}" in done.err
        assert scope in done.err
        assert self.deleted(upgraded) == []
        upgraded.answers(f"role assignment list {scope}", [assignment(scope)])
        assert upgraded.run("remove_password.py", "--yes").code == 0
        assert self.deleted(upgraded)

    def test_own_database(self, upgraded: FakeAzure) -> None:
        """The connection string of a MongoDB of the operator's own stays readable for the app."""
        signs_in(upgraded, BY_PASSWORD, HUB)
        upgraded.answers(f"role assignment list {VAULT}/secrets/mongodb-connection-string", [])
        done = upgraded.run("remove_password.py", "--yes")
        assert done.code == 1
        assert "mongodb-connection-string" in done.err
        assert self.deleted(upgraded) == []

    def test_another_vault(self, upgraded: FakeAzure) -> None:
        """References to other vaults do not matter."""
        other = "@Microsoft.KeyVault(SecretUri=https://kv-abcd.vault.azure.net/secrets/sandbox-hub)"
        signs_in(upgraded, BY_IDENTITY, HUB, other)
        assert upgraded.run("remove_password.py", "--yes").code == 0

    def test_others_keep_their_roles(self, upgraded: FakeAzure) -> None:
        """People who read the vault are named and left alone; so are other roles and other scopes."""
        upgraded.answers(
            f"role assignment list {VAULT}",
            [
                assignment(VAULT, "person"),
                assignment(VAULT, role="00482a5a-887f-4fb3-b363-3b7fe8e74483"),
                assignment(GROUP),
            ],
        )
        done = upgraded.run("remove_password.py", "--yes")
        assert done.code == 0
        assert "name of person" in done.err
        assert assignment(VAULT, "person")["id"] not in self.deleted(upgraded)
        assert len(self.deleted(upgraded)) == 2

    def test_twice(self, upgraded: FakeAzure) -> None:
        """When all is gone, there is nothing to do and nothing to ask."""
        upgraded.answers(f"role assignment list {VAULT}", [])
        upgraded.answers(f"role assignment list {VAULT}/secrets/mongodb-connection-string", [])
        upgraded.answers(f"rest {VAULTS}/kv-abc/secrets", page("hub-connection-string"))
        done = upgraded.run("remove_password.py")
        assert (done.code, self.deleted(upgraded)) == (0, [])

    def test_no_right(self, upgraded: FakeAzure) -> None:
        """Without the right to delete the secret, the command that gives it is named."""
        upgraded.answers("keyvault secret delete", failures=ALWAYS, error="ERROR: (Forbidden) Caller is not")
        done = upgraded.run("remove_password.py", "--yes")
        assert done.code == 1
        assert "az role assignment create" in done.err
        assert self.deleted(upgraded) == ["mongodb-connection-string"]

    def test_no_deployment(self, upgraded: FakeAzure) -> None:
        """Without a deployment in azd's environment nothing is asked of Azure."""
        upgraded.answers("env get-value", failures=ALWAYS, error="ERROR: key not found")
        done = upgraded.run("remove_password.py", "--yes")
        assert done.code == 1
        assert "azd provision" in done.err
        assert not upgraded.calls("functionapp")


def imports(path: Path) -> list[str]:
    """The modules that a script imports, in order."""
    nodes = ast.walk(ast.parse(path.read_text()))
    found = [[each.name for each in node.names] for node in nodes if isinstance(node, ast.Import)]
    names = [name for each in found for name in each]
    body = ast.parse(path.read_text()).body
    return names + [str(node.module) for node in body if isinstance(node, ast.ImportFrom)]


class TestScripts:
    FILES = sorted(SCRIPTS.glob("*.py"))

    @pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
    def test_any_python_says_what_it_needs(self, path: Path) -> None:
        """The oldest Python that azd accepts can read a script, and hears which version it needs."""
        ast.parse(path.read_text(), feature_version=(3, 7))
        ours = [name for name in imports(path) if (SCRIPTS / f"{name}.py").exists()]
        assert path.name == "python_version.py" or ours[0] == "python_version"

    @pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
    def test_old_python(self, path: Path) -> None:
        """A Python that is too old is named, and nothing else of the script is run."""
        pretend = (
            "import runpy, sys; sys.version_info = (3, 8, 10); runpy.run_path(sys.argv[1], None, '__main__')"
        )
        environment = {"PYTHONPATH": str(SCRIPTS), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", pretend, str(path)],
            env=environment, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.startswith("This script needs Python 3.9 or newer")

    def test_standard_library_only(self) -> None:
        """The requirements beside the scripts are empty, so azd installs nothing for them."""
        lines = (SCRIPTS / "requirements.txt").read_text().splitlines()
        assert lines
        assert all(line.startswith("#") for line in lines)
        ours = {path.stem for path in self.FILES}
        for path in self.FILES:
            assert {name.partition(".")[0] for name in imports(path)} <= sys.stdlib_module_names | ours
