"""Asks Azure about a deployed app: its settings, Key Vault references, hub, event subscriptions, dead
letters.

Shapes: Azure REST API specifications of Microsoft.Web (2024-04-01), Microsoft.NotificationHubs
(2023-10-01-preview), Microsoft.EventGrid (2025-02-15) and Microsoft.Communication (2023-04-01); the Azure CLI
prints the properties of a resource beside its name where it knows the type, and below `properties` elsewhere.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from doctor.checks.azure import (
    ApnsCredentials,
    Deployment,
    EventSubscription,
    PlatformCredentials,
    Reference,
    Site,
    Topic,
    Unanswered,
)
from doctor.probes.azure_cli import AzureCli, AzureCliError
from models.call import INCOMING_CALL_EVENT_TYPE

FUNCTION_NAME = "IncomingCallEventHandler"
RECENT = timedelta(days=1)

_WEB, _HUBS, _COMMUNICATION = "2024-04-01", "2023-10-01-preview", "2023-04-01"
_TOPIC_TYPE = "microsoft.communication.communicationservices"

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AzureHub:
    """Where a hub is."""

    namespace: str
    """The first label of its host name."""
    name: str


class DeploymentProbe:
    """Asks about one function app."""

    def __init__(self, azure: AzureCli, app: str, group: str) -> None:
        """Take the Azure CLI, the name of the app and of its resource group."""
        self._azure = azure
        self._app = app
        self._group = group

    def settings(self) -> object:
        """The app's settings, as the Azure CLI lists them.

        Raises:
            AzureCliError: they cannot be had.
        """
        return self._azure.ask("functionapp", "config", "appsettings", "list", *self._named())

    def ask(
        self, hub: AzureHub | None, now: datetime, named_hubs: Mapping[str, AzureHub] = MappingProxyType({})
    ) -> Deployment:
        """Everything else; a question that is not answered does not hinder the others.

        Args:
            hub: the default one; None if it is not known.
            now: the current time, UTC.
            named_hubs: the others, by their names in the settings.
        """
        site = _answer(self._site)
        site_id = None if isinstance(site, Unanswered) else site.resource_id
        topics = _answer(lambda: self._topics(site))
        return Deployment(
            app=self._app,
            group=self._group,
            site=site,
            functions=_answer(self._functions),
            references=_answer(lambda: self._references(site_id)),
            credentials=_answer(lambda: self._credentials(hub)),
            credentials_of_named_hubs={
                name: _answer(partial(self._credentials, each)) for name, each in named_hubs.items()
            },
            topics=topics,
            recent_dead_letters={} if isinstance(topics, Unanswered) else self._dead_letters(topics, now),
        )

    def _named(self) -> tuple[str, ...]:
        return ("--name", self._app, "--resource-group", self._group)

    def _site(self) -> Site:
        shown = _object(self._azure.ask("functionapp", "show", *self._named(), "--query", "{id: id}"))
        # Which properties `show` prints depends on its version; these are the resource's own.
        found = _object(self._azure.get(_text(shown, "id"), _WEB))
        properties = _properties(found)
        config = _object(properties.get("functionAppConfig"))
        always_ready = _objects(_object(config.get("scaleAndConcurrency")).get("alwaysReady"))
        return Site(
            resource_id=_text(found, "id"),
            state=_text(properties, "state"),
            always_ready={_text(each, "name"): int(each.get("instanceCount") or 0) for each in always_ready},
            is_flex=bool(config),
            host=_text(properties, "defaultHostName"),
        )

    def _functions(self) -> frozenset[str]:
        found = _objects(self._azure.ask("functionapp", "function", "list", *self._named()))
        return frozenset(_text(each, "name").rpartition("/")[2] for each in found)

    def _references(self, site_id: str | None) -> Mapping[str, Reference]:
        if site_id is None:
            raise AzureCliError(Unanswered("the app is not known", ""))
        found = _object(self._azure.get(f"{site_id}/config/configreferences/appsettings", _WEB))
        return {
            _text(each, "name"): Reference(
                status=_text(_properties(each), "status"),
                vault=_text(_properties(each), "vaultName"),
                secret=_text(_properties(each), "secretName"),
            )
            for each in _objects(found.get("value"))
        }

    def _credentials(self, hub: AzureHub | None) -> PlatformCredentials:
        if hub is None:
            raise AzureCliError(Unanswered("the settings do not say which hub", ""))
        kind = "Microsoft.NotificationHubs/namespaces"
        listed = _objects(self._azure.ask("resource", "list", "--resource-type", kind))
        ids = [_text(each, "id") for each in listed if _text(each, "name").lower() == hub.namespace.lower()]
        if not ids:
            raise AzureCliError(
                Unanswered(
                    f"the Azure subscription has no Notification Hubs namespace {hub.namespace}",
                    "If it is in another one, select that, then run the doctor again:",
                    ("az account list --output table", "az account set --subscription SUBSCRIPTION"),
                    is_absent=True,
                )
            )
        found = _object(self._azure.post(f"{ids[0]}/notificationHubs/{hub.name}/pnsCredentials", _HUBS))
        return _platform_credentials(_properties(found))

    def _topics(self, site: Site | Unanswered) -> Sequence[Topic]:
        listed = _objects(self._azure.ask("eventgrid", "system-topic", "list"))
        return [
            self._topic(topic, None if isinstance(site, Unanswered) else site)
            for topic in listed
            if _text(_properties(topic), "topicType").lower() == _TOPIC_TYPE
        ]

    def _topic(self, topic: Json, site: Site | None) -> Topic:
        name, group = _text(topic, "name"), _text(topic, "resourceGroup")
        source = _text(_properties(topic), "source")
        listed = self._azure.ask(
            "eventgrid", "system-topic", "event-subscription", "list", "--resource-group", group,
            "--system-topic-name", name,
        )  # fmt: skip
        return Topic(
            communication_service=source.rpartition("/")[2],
            linked_hub=_answer(lambda: self._linked_hub(source)),
            subscriptions=[_subscription(each, group, name, site) for each in _objects(listed)],
        )

    def _linked_hub(self, communication_service: str) -> str | None:
        found = _object(self._azure.get(communication_service, _COMMUNICATION))
        return _text(_properties(found), "notificationHubId") or None

    def _dead_letters(self, topics: Iterable[Topic], now: datetime) -> Mapping[str, int | Unanswered]:
        found: dict[str, int | Unanswered] = {}
        for subscription in (each for topic in topics for each in topic.subscriptions if each.is_ours):
            if subscription.dead_letters is not None:
                count = partial(self._recent_blobs, *subscription.dead_letters, now)
                found[subscription.name] = _answer(count)
        return found

    def _recent_blobs(self, account: str, container: str, now: datetime) -> int:
        listed = self._azure.ask(
            "storage", "blob", "list", "--account-name", account, "--container-name", container,
            "--auth-mode", "login",
        )  # fmt: skip
        modified = (_time(_properties(each).get("lastModified")) for each in _objects(listed))
        return sum(moment is not None and moment > now - RECENT for moment in modified)


def _answer[Result](question: Callable[[], Result]) -> Result | Unanswered:
    try:
        return question()
    except AzureCliError as error:
        return error.unanswered


def _platform_credentials(properties: Json) -> PlatformCredentials:
    def inner(name: str) -> Json:
        return _properties(_object(properties.get(name)))

    apns = inner("apnsCredential")
    endpoint = _text(apns, "endpoint").lower()
    return PlatformCredentials(
        apns=ApnsCredentials(
            by_token=bool(apns.get("token") or apns.get("keyId")),
            is_sandbox="sandbox" in endpoint or "development" in endpoint,
            bundle_id=_text(apns, "appName") or None,
        )
        if apns
        else None,
        fcm_v1=bool(inner("fcmV1Credential")),
        gcm=bool(inner("gcmCredential")),
        wns=bool(inner("wnsCredential")),
        browser=bool(inner("browserCredential")),
    )


def _subscription(found: Json, group: str, topic: str, site: Site | None) -> EventSubscription:
    properties = _properties(found)
    chosen = _object(properties.get("filter"))
    types = [str(each) for each in chosen.get("includedEventTypes") or []]
    delivery = _object(properties.get("deliveryWithResourceIdentity"))
    destination = _object(properties.get("destination")) or _object(delivery.get("destination"))
    target = _target(destination)
    return EventSubscription(
        name=_text(found, "name"),
        group=group,
        topic=topic,
        takes_incoming_calls=not types or INCOMING_CALL_EVENT_TYPE in types,
        has_filter=any(
            chosen.get(name) for name in ("subjectBeginsWith", "subjectEndsWith", "advancedFilters")
        ),
        is_ours=site is not None and _is_ours(destination, site),
        target=target,
        state=_text(properties, "provisioningState"),
        dead_letters=_dead_letter_container(properties),
    )


def _target(destination: Json) -> str:
    properties = _properties(destination)
    url = _text(properties, "endpointBaseUrl")
    where = urlsplit(url).hostname if url else _text(properties, "resourceId").rpartition("/")[2]
    return f"{_text(destination, 'endpointType') or 'unknown'} {where or ''}".strip()


def _is_ours(destination: Json, site: Site) -> bool:
    properties = _properties(destination)
    wanted = f"{site.resource_id}/functions/{FUNCTION_NAME}".lower()
    if _text(properties, "resourceId").lower() == wanted:
        return True
    url = urlsplit(_text(properties, "endpointBaseUrl").lower())
    return bool(site.host) and url.hostname == site.host.lower() and FUNCTION_NAME.lower() in url.query


def _dead_letter_container(properties: Json) -> tuple[str, str] | None:
    by_identity = _object(properties.get("deadLetterWithResourceIdentity"))
    destination = _object(by_identity.get("deadLetterDestination")) or _object(
        properties.get("deadLetterDestination")
    )
    inner = _properties(destination)
    account, container = _text(inner, "resourceId").rpartition("/")[2], _text(inner, "blobContainerName")
    return (account, container) if account and container else None


def _time(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> Sequence[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _properties(value: Json) -> Json:
    """The properties of a resource, wherever they stand."""
    return {**value, **_object(value.get("properties"))}


def _text(value: Json, name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""
