"""After deploying: subscribes the function to incoming calls. Safe to run again: azd hooks run postdeploy

It may be told, by azd's environment:
  EVENT_SUBSCRIPTION       no: subscribe to nothing yet (docs/migration.md)
  EVENT_SUBSCRIPTION_NAME  name of a subscription to take over; its events then come here instead
  WAIT_ATTEMPTS, WAIT_SECONDS  how long to wait for the function: 60 times 10 seconds
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import python_version  # noqa: F401
from command_line import Az, CommandError, StopError
from hook import chosen, is_true, main, needed, say, warn

FUNCTION = "IncomingCallEventHandler"
INCOMING_CALL = "Microsoft.Communication.IncomingCall"
TEMPLATE = Path(__file__).resolve().parents[1] / "events.bicep"
TOPIC_API = "2025-02-15"
AGAIN = "azd hooks run postdeploy"
TOPIC_NAME, SUBSCRIPTION_NAME = 50, 64
"""What Event Grid allows, in characters: letters, digits and hyphens."""
TRIES = 3
"""Of the deployment: a new role takes a while to be known everywhere."""

NO_DEAD_LETTERS = (
    "the system topic {topic} takes no identity, so the subscription is made WITHOUT dead letters: an event "
    "that the app cannot take is dropped, and only the alert on DroppedEventCount says so. {reason} "
    "To try again later: " + AGAIN
)


@dataclass(frozen=True)
class App:
    """The function app."""

    subscription: str
    group: str
    name: str
    id: str


@dataclass(frozen=True)
class Acs:
    """The Communication Services resource whose calls ring."""

    id: str
    subscription: str
    group: str
    name: str

    @classmethod
    def parse(cls, resource_id: str) -> Acs:
        """Read the resource id of a Communication Services resource.

        Raises:
            StopError: it is something else.
        """
        parts = resource_id.split("/")
        if len(parts) != 9 or parts[0] or parts[7].lower() != "communicationservices":
            message = (
                "COMMUNICATION_SERVICE_ID is no resource id of a Communication Services resource; the portal "
                "shows it under JSON View. Correct it with azd env set, then run 'azd provision'."
            )
            raise StopError(message)
        return cls(resource_id, parts[2], parts[4], parts[8])


@dataclass(frozen=True)
class Topic:
    """The system topic of the Communication Services resource."""

    group: str
    name: str
    identity: str
    """Kind of its identity; empty where the topic is still to be made."""

    @property
    def has_identity(self) -> bool:
        """Whether it has the kind of identity that dead letters are written by."""
        return "systemassigned" in self.identity.lower()


def allowed_name(name: str, longest: int) -> str:
    """The name as Event Grid takes it: names of environments may hold other signs, and be longer."""
    return re.sub("[^A-Za-z0-9-]", "-", name)[:longest]


def wait_for_function(az: Az, app: App, attempts: int, seconds: float) -> None:
    """Wait until the host has indexed the function and the Event Grid extension has made its key.

    Raises:
        StopError: it does not appear.
    """
    for attempt in range(attempts):
        if _is_ready(az, app):
            return
        if attempt + 1 < attempts:
            say(f"Waiting for {FUNCTION} …")
            time.sleep(seconds)
    message = (
        f"The function {FUNCTION} has not appeared in {app.name}. Look at its log stream, then run: {AGAIN}"
    )
    raise StopError(message)


def _is_ready(az: Az, app: App) -> bool:
    # The key goes nowhere: Event Grid looks it up by itself.
    where = ("--resource-group", app.group, "--name", app.name)
    try:
        function = az.get("functionapp", "function", "show", *where, "--function-name", FUNCTION)
        keys = az.get("functionapp", "keys", "list", *where)
    except CommandError:
        return False
    return bool(function) and bool(((keys or {}).get("systemKeys") or {}).get("eventgrid_extension"))


def find_topic(az: Az, acs: Acs) -> Topic | None:
    """The system topic that the resource has already: it can have one only.

    Raises:
        CommandError: it cannot be looked up.
    """
    for topic in az.get("eventgrid", "system-topic", "list") or []:
        if str(topic.get("source", "")).lower() == acs.id.lower():
            identity = (topic.get("identity") or {}).get("type") or "None"
            return Topic(str(topic["resourceGroup"]), str(topic["name"]), str(identity))
    return None


def give_identity(az: Az, topic: Topic) -> str:
    """Give an existing topic the identity by which it writes dead letters.

    Returns:
        Why it has none; empty if it has one now.
    """
    if topic.has_identity:
        return ""
    if topic.identity.lower() != "none":
        return (
            f"It has an identity of the kind {topic.identity}, which this script does not replace: "
            "turn on the system-assigned one (portal: Identity)."
        )
    say(f"Giving the system topic {topic.name} an identity, for the dead letters.")
    path = f"/resourceGroups/{topic.group}/providers/Microsoft.EventGrid/systemTopics/{topic.name}"
    try:
        az.patch(path, TOPIC_API, {"identity": {"type": "SystemAssigned"}})
    except CommandError as error:
        return f"Azure said: {error}"
    return ""


def warn_of_others(az: Az, topic: Topic, subscription: str) -> None:
    """Name the other subscriptions to incoming calls: a phone that is registered with both rings twice.

    Raises:
        CommandError: they cannot be looked up.
    """
    listed = az.get(
        "eventgrid", "system-topic", "event-subscription", "list",
        "--resource-group", topic.group, "--system-topic-name", topic.name,
    )  # fmt: skip
    for each in listed or []:
        types = (each.get("filter") or {}).get("includedEventTypes") or []
        if each["name"] != subscription and INCOMING_CALL in types:
            warn(
                f"incoming calls go to the subscription {each['name']} as well. If it rings phones too, they "
                "may ring twice: docs/migration.md says how to switch over."
            )


def subscribe(az: Az, topic: Topic, parameters: Mapping[str, object], seconds: float) -> None:
    """Deploy the subscription, up to three times.

    Raises:
        CommandError: Azure refuses it.
    """
    name = f"acs-call-push-{parameters['subscriptionName']}"[:64]
    for _ in range(TRIES - 1):
        refusal = _refusal(az, topic, name, parameters)
        if refusal is None:
            return
        say(f"Event Grid did not take the subscription: {refusal}\nTrying again …")
        time.sleep(seconds)
    az.deploy(topic.group, name, TEMPLATE, parameters)


def _refusal(az: Az, topic: Topic, name: str, parameters: Mapping[str, object]) -> CommandError | None:
    try:
        az.deploy(topic.group, name, TEMPLATE, parameters)
    except CommandError as error:
        return error
    return None


def postdeploy() -> None:
    """Find or make the system topic, and subscribe the function to it."""
    run_by_azd = f"Run 'azd provision' first, then run this through azd: {AGAIN}"
    app = App(
        *(
            needed(name, run_by_azd)
            for name in (
                "AZURE_SUBSCRIPTION_ID",
                "AZURE_RESOURCE_GROUP",
                "AZURE_FUNCTION_APP_NAME",
                "AZURE_FUNCTION_APP_ID",
            )
        )
    )
    acs = Acs.parse(needed("EVENT_SOURCE_ID", run_by_azd))
    subscription = chosen("EVENT_SUBSCRIPTION_NAME") or allowed_name(
        f"ring-{needed('AZURE_ENV_NAME', run_by_azd)}", SUBSCRIPTION_NAME
    )
    parameters: dict[str, object] = {
        "communicationServiceId": acs.id,
        "subscriptionName": subscription,
        "functionAppId": app.id,
        "storageAccountId": needed("DEAD_LETTER_STORAGE_ACCOUNT_ID", run_by_azd),
        "deadLetterContainer": needed("DEAD_LETTER_CONTAINER", run_by_azd),
        "workspaceId": chosen("LOG_WORKSPACE_ID"),
        "actionGroupId": chosen("ACTION_GROUP_ID"),
        "callEnds": is_true("CALL_ENDS", default=False),
    }
    if chosen("EVENT_SUBSCRIPTION", "yes").lower() == "no":
        say("EVENT_SUBSCRIPTION is no: no call comes here yet.")
        return
    seconds = float(chosen("WAIT_SECONDS", "10"))
    wait_for_function(Az(app.subscription), app, int(chosen("WAIT_ATTEMPTS", "60")), seconds)

    az = Az(acs.subscription)
    topic = find_topic(az, acs)
    if topic:
        say(f"Using the system topic {topic.name}, which is there.")
        warn_of_others(az, topic, subscription)
        reason = give_identity(az, topic)
    else:
        topic = Topic(acs.group, f"{allowed_name(acs.name, TOPIC_NAME - 7)}-events", identity="")
        say(f"Making the system topic {topic.name}.")
        reason = ""
    parameters |= {"systemTopicName": topic.name, "createSystemTopic": not topic.identity}

    if not reason:
        try:
            subscribe(az, topic, {**parameters, "deadLetters": True}, seconds)
        except CommandError as error:
            made = find_topic(az, acs)
            if made and made.has_identity:
                # Dead letters are not what is wrong. Giving them up would only hide the cause.
                message = f"Event Grid does not take the subscription: {error}"
                raise StopError(message) from None
            reason = f"Azure said: {error}"
    if reason:
        warn(NO_DEAD_LETTERS.format(topic=topic.name, reason=reason))
        subscribe(az, topic, {**parameters, "deadLetters": False}, seconds)
    say(f"Calls to {acs.name} ring now: subscription {subscription} on {topic.name}.")


if __name__ == "__main__":
    main(postdeploy)
