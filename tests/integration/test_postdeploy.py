"""The azd hooks, run by a shell against an `az` that records what it is asked and answers from a script."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
ACS = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/calls"
    "/providers/Microsoft.Communication/communicationServices/contoso"
)
GROUP = "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/rg-prod"
KEY = "do-not-show-this-key"

# Answers each call from `answers.json`, a list of [words of the call, how often it fails first, answer], by
# the first that fits; and refuses calls that it has no answer for.
FAKE = """#!{python}
import json, sys
from pathlib import Path
folder = Path({folder!r})
arguments = sys.argv[1:]
with (folder / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
answers = json.loads((folder / "answers.json").read_text())
for answer in answers:
    if all(word in " ".join(arguments) for word in answer[0].split()):
        if answer[1] > 0:
            answer[1] -= 1
            (folder / "answers.json").write_text(json.dumps(answers))
            sys.exit("az: not yet")
        print(answer[2])
        sys.exit(0)
sys.exit("az: nobody expected " + " ".join(arguments))
"""


@dataclass
class Azure:
    """What the fake finds, and what it was asked."""

    folder: Path
    function: tuple[int, str] = (0, "IncomingCallEventHandler")
    """How often it is not there yet, and its name."""
    key: tuple[int, str] = (0, KEY)
    topics: str = ""
    others: str = ""
    refusals: int = 0
    """How often the deployment fails."""
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, script: str = "postdeploy.sh") -> "subprocess.CompletedProcess[str]":
        """Run a hook as azd does."""
        answers = [
            ["functionapp function show", *self.function],
            ["functionapp keys list", *self.key],
            ["event-subscription list", 0, self.others],
            ["system-topic list", 0, self.topics],
            ["rest --method patch", 0, ""],
            ["deployment group create", self.refusals, ""],
            ["env set", 0, ""],
        ]
        (self.folder / "answers.json").write_text(json.dumps(answers))
        (self.folder / "calls.jsonl").write_text("")
        for tool in ("az", "azd"):
            fake = self.folder / tool
            fake.write_text(FAKE.format(python=sys.executable, folder=str(self.folder)))
            fake.chmod(0o755)
        return subprocess.run(
            ["/bin/sh", str(ROOT / "infra" / "scripts" / script)],
            cwd=self.folder,  # from wherever azd runs it
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def calls(self, words: str) -> list[list[str]]:
        """The calls that have these words."""
        lines = (self.folder / "calls.jsonl").read_text().splitlines()
        calls: list[list[str]] = [json.loads(line) for line in lines]
        return [call for call in calls if all(word in " ".join(call) for word in words.split())]

    def deployed(self) -> Mapping[str, Any]:
        """Options and parameters of the last deployment."""
        call = self.calls("deployment group create")[-1]
        start = call.index("--parameters")
        options = dict(zip(call[3:start:2], call[4:start:2], strict=True))
        return {**options, **dict(each.split("=", 1) for each in call[start + 1 :])}

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "AZURE_ENV_NAME": "prod",
            "AZURE_SUBSCRIPTION_ID": "22222222-2222-2222-2222-222222222222",
            "AZURE_RESOURCE_GROUP": "rg-prod",
            "AZURE_FUNCTION_APP_NAME": "func-prod",
            "AZURE_FUNCTION_APP_ID": f"{GROUP}/providers/Microsoft.Web/sites/func-prod",
            "AZURE_STORAGE_ACCOUNT_ID": f"{GROUP}/providers/Microsoft.Storage/storageAccounts/st",
            "DEAD_LETTER_CONTAINER": "dead-letters",
            "COMMUNICATION_SERVICE_ID": ACS,
            "WAIT_ATTEMPTS": "4",
            "WAIT_SECONDS": "0",
            **self.environment,
        }


@pytest.fixture
def azure(tmp_path: Path) -> Azure:
    return Azure(tmp_path)


def topic(identity: str = "SystemAssigned", source: str = ACS) -> str:
    other = f"{ACS}-other\tother-group\tother-topic\tNone"
    return f"{other}\n{source}\ttopics\tcalls-topic\t{identity}"


class TestSubscription:
    def test_new_topic(self, azure: Azure) -> None:
        """Without a system topic, one is made beside the Communication Services resource."""
        done = azure.run()
        assert done.returncode == 0, done.stderr
        deployed = azure.deployed()
        assert deployed["--subscription"] == SUBSCRIPTION
        assert deployed["--resource-group"] == "calls"
        assert deployed["--template-file"] == "infra/events.bicep"
        assert (deployed["systemTopicName"], deployed["createSystemTopic"]) == ("contoso-events", "true")
        assert deployed["subscriptionName"] == "ring-prod"
        assert deployed["communicationServiceId"] == ACS
        assert deployed["deadLetterContainer"] == "dead-letters"
        assert azure.calls("rest") == []

    @pytest.mark.parametrize("source", [ACS, ACS.upper(), ACS.replace("communicationS", "CommunicationS")])
    def test_existing_topic(self, azure: Azure, source: str) -> None:
        """A system topic that is there is used, however its source is spelt."""
        azure.topics = topic(source=source)
        assert azure.run().returncode == 0
        deployed = azure.deployed()
        assert deployed["--resource-group"] == "topics"
        assert (deployed["systemTopicName"], deployed["createSystemTopic"]) == ("calls-topic", "false")
        assert azure.calls("rest") == []

    def test_twice(self, azure: Azure) -> None:
        """Run again, it asks for the same thing."""
        azure.topics = topic()
        azure.run()
        first = azure.deployed()
        assert azure.run().returncode == 0
        assert azure.deployed() == first

    def test_topic_without_identity(self, azure: Azure) -> None:
        """A topic without an identity gets one, for the dead letters, and nothing else changes."""
        azure.topics = topic("None")
        assert azure.run().returncode == 0
        (call,) = azure.calls("rest")
        assert json.loads(call[call.index("--body") + 1]) == {"identity": {"type": "SystemAssigned"}}
        assert "/resourceGroups/topics/" in call[-1]
        assert "systemTopics/calls-topic?" in call[-1]

    def test_topic_with_another_identity(self, azure: Azure) -> None:
        """An identity that somebody else has given the topic is not taken away; it says what to do."""
        azure.topics = topic("UserAssigned")
        done = azure.run()
        assert done.returncode == 1
        assert "system-assigned identity" in done.stderr
        assert azure.calls("rest") + azure.calls("deployment") == []

    def test_takes_a_subscription_over(self, azure: Azure) -> None:
        """A subscription of another app that is named has its calls come here from one moment to the next."""
        azure.topics = topic()
        azure.environment["EVENT_SUBSCRIPTION_NAME"] = "sample"
        azure.run()
        assert azure.deployed()["subscriptionName"] == "sample"

    def test_warns_of_others(self, azure: Azure) -> None:
        """Another subscription to incoming calls is named: phones may ring twice."""
        azure.topics, azure.others = topic(), "sample\nother"
        done = azure.run()
        assert done.returncode == 0
        assert done.stdout.count("WARNING") == 2
        assert "subscription sample as well" in done.stdout
        (call,) = azure.calls("event-subscription list")
        assert "name != 'ring-prod'" in call[call.index("--query") + 1]

    def test_not_yet(self, azure: Azure) -> None:
        """With EVENT_SUBSCRIPTION=no nothing is asked of Azure."""
        azure.environment["EVENT_SUBSCRIPTION"] = "no"
        assert azure.run().returncode == 0
        assert azure.calls("") == []


class TestWaiting:
    def test_function_and_key(self, azure: Azure) -> None:
        """It waits until the function is there, then until the Event Grid extension has its key."""
        azure.function, azure.key = (1, "IncomingCallEventHandler"), (2, KEY)
        assert azure.run().returncode == 0
        assert len(azure.calls("function show")) == 4
        assert len(azure.calls("keys list")) == 3

    @pytest.mark.parametrize("missing", ["function", "key"])
    def test_never(self, azure: Azure, missing: str) -> None:
        """What does not appear in time is an error that says how to go on, and nothing is subscribed."""
        setattr(azure, missing, (0, ""))
        done = azure.run()
        assert done.returncode == 1
        assert "azd hooks run postdeploy" in done.stderr
        assert azure.calls("deployment") == []

    def test_role_takes_a_while(self, azure: Azure) -> None:
        """Event Grid may refuse the container until the role is known everywhere, so it is asked again."""
        azure.refusals = 2
        assert azure.run().returncode == 0
        assert len(azure.calls("deployment")) == 3

    def test_refused_for_good(self, azure: Azure) -> None:
        """After three refusals it gives up."""
        azure.refusals = 9
        done = azure.run()
        assert done.returncode == 1
        assert len(azure.calls("deployment")) == 3


class TestSafety:
    def test_the_key_stays_where_it_is(self, azure: Azure) -> None:
        """The key is neither printed nor handed to anything."""
        azure.topics = topic("None")
        done = azure.run()
        assert KEY not in done.stdout + done.stderr
        assert KEY not in (azure.folder / "calls.jsonl").read_text()

    @pytest.mark.parametrize("name", ["AZURE_ENV_NAME", "COMMUNICATION_SERVICE_ID", "AZURE_FUNCTION_APP_ID"])
    def test_missing_environment(self, azure: Azure, name: str) -> None:
        """Without what azd passes it says what is missing."""
        azure.environment[name] = ""
        done = azure.run()
        assert done.returncode == 1
        assert f"{name} is not set" in done.stderr
        assert azure.calls("") == []

    def test_wrong_resource(self, azure: Azure) -> None:
        """A name in place of a resource id is refused."""
        azure.environment["COMMUNICATION_SERVICE_ID"] = "contoso"
        assert azure.run().returncode == 1
        assert azure.calls("") == []

    def test_scripts_are_clean(self) -> None:
        """ShellCheck finds nothing in any shell script of the project."""
        scripts = [*ROOT.glob("infra/scripts/*.sh"), *ROOT.glob("tools/*.sh"), ROOT / ".ci" / "run"]
        assert len(scripts) >= 4
        checker = Path(sys.executable).with_name("shellcheck")
        done = subprocess.run([checker, *scripts], capture_output=True, text=True, timeout=30, check=False)
        assert done.stdout == ""
        assert done.returncode == 0


class TestPostprovision:
    def test_the_hub_is_made_once(self, azure: Azure) -> None:
        """After the first time, the hub with its credentials is not deployed again."""
        assert azure.run("postprovision.sh").returncode == 0
        assert azure.calls("") == [["env", "set", "CREATE_NOTIFICATION_HUB", "false"]]
        azure.environment["CREATE_NOTIFICATION_HUB"] = "false"
        assert azure.run("postprovision.sh").returncode == 0
        assert azure.calls("") == []
