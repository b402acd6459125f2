"""An `az` on the PATH that answers from a script: the shapes are those that the Azure CLI prints."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doctor.probes.azure_cli import AzureCli, AzureCliError, command_line, refusal

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-calls"
SITE = f"{GROUP}/providers/Microsoft.Web/sites/func-calls"
NAMESPACE = f"{GROUP}/providers/Microsoft.NotificationHubs/namespaces/contoso"
ACS = f"{GROUP}/providers/Microsoft.Communication/communicationServices/acs-contoso"
STORAGE = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/stdeadletters"
SECRET = "do-not-show-this-secret"

_SCRIPT = """#!{python} -IS
import json, sys
from pathlib import Path
folder = Path({folder!r})
arguments = sys.argv[1:]
with (folder / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
paths = [each for each in arguments if "/" in each]
for words, status, text in json.loads((folder / "answers.json").read_text()):
    if all(word in arguments or any(word in path for path in paths) for word in words.split()):
        (sys.stdout if status == 0 else sys.stderr).write(text)
        sys.exit(status)
sys.exit("az: unexpected: " + " ".join(arguments))
"""


def event_subscription(name: str = "calls", **changes: Any) -> dict[str, Any]:
    """As `az eventgrid system-topic event-subscription list` prints it: properties beside the name."""
    return {
        "name": name,
        "id": f"{GROUP}/providers/Microsoft.EventGrid/systemTopics/topic-calls/eventSubscriptions/{name}",
        "resourceGroup": "rg-calls",
        "provisioningState": "Succeeded",
        "eventDeliverySchema": "EventGridSchema",
        "topic": ACS,
        "filter": {
            "includedEventTypes": ["Microsoft.Communication.IncomingCall"],
            "subjectBeginsWith": "",
            "subjectEndsWith": "",
            "advancedFilters": None,
        },
        "destination": {
            "endpointType": "AzureFunction",
            "resourceId": f"{SITE}/functions/IncomingCallEventHandler",
            "maxEventsPerBatch": 1,
        },
        "retryPolicy": {"maxDeliveryAttempts": 3, "eventTimeToLiveInMinutes": 5},
        "deadLetterDestination": None,
        "deadLetterWithResourceIdentity": {
            "identity": {"type": "SystemAssigned"},
            "deadLetterDestination": {
                "endpointType": "StorageBlob",
                "resourceId": STORAGE,
                "blobContainerName": "dead-letters",
            },
        },
        **changes,
    }


@dataclass
class FakeAzure:
    """A deployment in which all is well, until a test changes it."""

    folder: Path
    settings: dict[str, str]
    answers: dict[str, Any] = field(default_factory=dict)
    """What a command answers in place of the usual; the words of the command -> JSON, or an Error."""

    def __post_init__(self) -> None:
        script = self.folder / "az"
        script.write_text(_SCRIPT.format(python=sys.executable, folder=str(self.folder)))
        script.chmod(0o755)
        self.write()

    def change(self, words: str, answer: Any) -> None:
        """Have a command answer something else."""
        self.answers[words] = answer
        self.write()

    def write(self) -> None:
        """Lay the answers down for the script."""
        answers = {**self._usual(), **self.answers}
        ordered = [*self.answers, *(words for words in answers if words not in self.answers)]
        lines = []
        for words in ordered:
            answer = answers[words]
            if isinstance(answer, Error):
                lines.append([words, answer.status, answer.text])
            else:
                lines.append([words, 0, json.dumps(answer)])
        (self.folder / "answers.json").write_text(json.dumps(lines))

    def cli(self) -> AzureCli:
        """The same answers without a process for each."""
        return _InThisProcess(self)

    def calls(self) -> list[list[str]]:
        """The commands that were run."""
        lines = (self.folder / "calls.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def _usual(self) -> dict[str, Any]:
        return {
            "functionapp config appsettings list": [
                {"name": name, "slotSetting": False, "value": value} for name, value in self.settings.items()
            ],
            "functionapp show": {"id": SITE},
            f"rest {SITE}?api-version": {
                "id": SITE,
                "kind": "functionapp,linux",
                "name": "func-calls",
                "properties": {
                    "state": "Running",
                    "defaultHostName": "func-calls.azurewebsites.net",
                    "functionAppConfig": {
                        "runtime": {"name": "python", "version": "3.13"},
                        "scaleAndConcurrency": {
                            "alwaysReady": [
                                {"name": "function:IncomingCallEventHandler", "instanceCount": 1}
                            ],
                            "instanceMemoryMB": 2048,
                            "maximumInstanceCount": 40,
                        },
                    },
                },
            },
            "functionapp function list": [
                {"name": "func-calls/AddDeviceToken"},
                {"name": "func-calls/IncomingCallEventHandler"},
            ],
            "keyvault secret show": {"id": "https://vault/secrets/x/1", "name": "x", "value": SECRET},
            "configreferences": {
                "value": [
                    {
                        "name": "MongoDbConnectionString",
                        "properties": {
                            "reference": "@Microsoft.KeyVault(SecretUri=https://kv.vault.azure.net/secrets/m)",
                            "status": "Resolved",
                            "vaultName": "kv",
                            "secretName": "m",
                            "identityType": "userassigned",
                            "source": "KeyVault",
                        },
                    }
                ]
            },
            "resource list Microsoft.NotificationHubs/namespaces": [
                {"id": NAMESPACE, "name": "contoso", "resourceGroup": "rg-calls", "sku": {"name": "Free"}}
            ],
            "pnsCredentials": {
                "name": "calls",
                "properties": {
                    "apnsCredential": {
                        "properties": {
                            "endpoint": "https://api.push.apple.com:443/3/device",
                            "appName": "com.contoso.app",
                            "appId": "TEAM123456",
                            "keyId": "KEY1234567",
                            "token": SECRET,
                        }
                    },
                    "fcmV1Credential": {"properties": {"projectId": "p", "privateKey": SECRET}},
                    "wnsCredential": {"properties": {"packageSid": SECRET, "secretKey": SECRET}},
                },
            },
            "system-topic event-subscription list": [event_subscription()],
            "system-topic list": [
                {
                    "name": "topic-calls",
                    "resourceGroup": "rg-calls",
                    "source": ACS,
                    "topicType": "Microsoft.Communication.CommunicationServices",
                },
                {"name": "other", "resourceGroup": "rg", "source": STORAGE, "topicType": "Microsoft.Storage"},
            ],
            f"rest {ACS}": {"name": "acs-contoso", "properties": {"hostName": "acs.communication.azure.com"}},
            "storage blob list": [],
        }


class _InThisProcess(AzureCli):
    def __init__(self, fake: FakeAzure) -> None:
        super().__init__()
        self._fake = fake

    def ask(self, *arguments: str) -> object:
        paths = [each for each in arguments if "/" in each]
        for words, status, text in json.loads((self._fake.folder / "answers.json").read_text()):
            if all(word in arguments or any(word in path for path in paths) for word in words.split()):
                if status != 0:
                    raise AzureCliError(refusal(text, command_line(arguments)))
                return json.loads(text)
        raise AssertionError(f"unexpected: {arguments}")


@dataclass(frozen=True)
class Error:
    """`az` fails."""

    text: str
    status: int = 1


NOT_SIGNED_IN = Error("ERROR: Please run 'az login' to setup account.")
FORBIDDEN = Error("ERROR: (AuthorizationFailed) The client 'x' does not have authorization to perform action")
VAULT_FORBIDDEN = Error(
    "ERROR: (Forbidden) Caller is not authorized to perform action on resource. ForbiddenByRbac"
)
NOT_FOUND = Error("ERROR: (ResourceNotFound) The Resource 'x' under resource group 'y' was not found.", 3)
