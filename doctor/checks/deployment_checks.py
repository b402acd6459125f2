"""What Azure's answers about a deployed app mean."""

import shlex
from collections.abc import Iterator, Sequence

from doctor.checks import manual_checks
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
from doctor.checks.findings import Area, Check
from models import known_causes

AREA = Area("azure")
RESOLVED = "resolved"
FUNCTION_NAME = "IncomingCallEventHandler"
ALWAYS_READY = f"function:{FUNCTION_NAME}"

_SUBSCRIBE = "azd hooks run postdeploy"
_CREDENTIALS_PAGE = "Portal, the notification hub, Settings: Apple (APNS), Google (FCM v1), Windows (WNS)."


def check_deployment(found: Deployment) -> list[Check]:
    """The app, its references, the hub's credentials, the event subscriptions and the dead letters."""
    return [
        *_site(found),
        *_functions(found),
        *_references(found),
        *_credentials(found.credentials, AREA),
        *(
            check
            for hub, credentials in found.credentials_of_named_hubs.items()
            for check in _credentials(credentials, Area(f"{AREA.name}, hub {hub}"))
        ),
        *_subscriptions(found),
        *_dead_letters(found),
    ]


def answered(found: Deployment) -> frozenset[str]:
    """Which of the manual checks Azure has answered, by name."""
    names: set[str] = set()
    if isinstance(found.credentials, PlatformCredentials):
        names |= {
            manual_checks.CREDENTIALS, manual_checks.AUTHENTICATION, manual_checks.ENVIRONMENT,
            manual_checks.BUNDLE_ID,
        }  # fmt: skip
    if not isinstance(found.topics, Unanswered) and found.topics:
        names.add(manual_checks.SUBSCRIPTION)
        if not any(isinstance(topic.linked_hub, Unanswered) for topic in found.topics):
            names.add(manual_checks.LINK)
    return frozenset(names)


def _az(*arguments: str) -> str:
    return shlex.join(["az", *arguments])


def _unanswered(name: str, answer: Unanswered, area: Area = AREA, *, counts: bool = True) -> Check:
    return area.unknown(name, answer.detail, answer.remedy, *answer.commands, counts=counts)


def _site(found: Deployment) -> Iterator[Check]:
    if isinstance(found.site, Unanswered):
        yield _unanswered("function app", found.site)
        return
    if found.site.state.lower() == "running":
        yield AREA.passed("function app", "it is running")
    else:
        start = _az("functionapp", "start", "--name", found.app, "--resource-group", found.group)
        state = found.site.state or "unknown"
        yield AREA.failed("function app", f"its state is {state}", "Start it:", start)
    yield _always_ready(found.site)


def _always_ready(site: Site) -> Check:
    question = "always-ready instances"
    instances = site.always_ready.get(ALWAYS_READY, 0)
    if instances:
        return AREA.passed(question, f"{instances} for {FUNCTION_NAME}")
    if not site.is_flex:
        return AREA.note(question, "the app does not run on Flex Consumption; its plan decides")
    return AREA.note(
        question,
        "none: the first call after a pause waits for a cold start",
        f"Set alwaysReadyInstances to 1 or more in the deployment ({ALWAYS_READY}).",
    )


def _functions(found: Deployment) -> Iterator[Check]:
    question = "functions"
    if isinstance(found.functions, Unanswered):
        yield _unanswered(question, found.functions)
    elif FUNCTION_NAME in found.functions:
        yield AREA.passed(question, f"{len(found.functions)} are there, {FUNCTION_NAME} among them")
    else:
        yield AREA.failed(
            question,
            f"the app has no function {FUNCTION_NAME}: its code was not deployed, or it does not start",
            "Deploy it. If that changes nothing: portal, Application Insights, Failures, has the first "
            "error.",
            "azd deploy",
        )


def _references(found: Deployment) -> Iterator[Check]:
    question = "Key Vault references"
    if isinstance(found.references, Unanswered):
        yield _unanswered(question, found.references)
        return
    broken = {name: one for name, one in found.references.items() if one.status.lower() != RESOLVED}
    if not broken:
        yield AREA.passed(question, f"all {len(found.references)} are resolved")
    for name, reference in broken.items():
        yield _unresolved(found, name, reference)


def _unresolved(found: Deployment, name: str, reference: Reference) -> Check:
    cause = known_causes.KEY_VAULT_REFERENCE
    named = ("--vault-name", reference.vault, "--name", reference.secret)
    commands = [_az("keyvault", "secret", "show", *named, "--query", "attributes")]
    if not isinstance(found.site, Unanswered):
        url = f"{found.site.resource_id}/config/configreferences/appsettings/refresh?api-version=2024-04-01"
        commands.append(_az("rest", "--method", "post", "--url", url))
    where = f"secret {reference.secret} in vault {reference.vault}"
    return AREA.failed(
        name,
        f"{cause.problem}: {reference.status or 'no status'}, {where}",
        f"{cause.remedy} See whether the secret is there; after the repair have Azure resolve it again:",
        *commands,
    )


def _credentials(found: PlatformCredentials | Unanswered, area: Area) -> Iterator[Check]:
    question = "platform credentials"
    if isinstance(found, Unanswered):
        yield _unanswered(question, found, area)
        return
    if found.apns is None:
        yield _no_credentials("APNs (iPhones)", area)
    else:
        yield from _apns(found.apns, area)
    if found.fcm_v1:
        yield area.passed("FCM v1 credentials", "they are there")
    elif found.gcm:
        yield area.failed(
            "FCM v1 credentials",
            "the hub has a key of the legacy protocol only, which Google switched off in 2024",
            "Portal, the notification hub, Google (FCM v1): enter the service account's key.",
        )
    else:
        yield _no_credentials("FCM v1 (Android)", area)
    if found.wns:
        yield area.passed("WNS credentials", "they are there")
    else:
        yield _no_credentials("WNS (Windows)", area)
    if found.browser:
        yield area.passed("browser credentials", "they are there")
    if not (found.apns or found.fcm_v1 or found.wns or found.browser):
        yield area.failed(
            question, "the hub has none for any platform, so it drops every push", _CREDENTIALS_PAGE
        )


def _no_credentials(platform: str, area: Area) -> Check:
    return area.note(
        f"{platform} credentials",
        "the hub has none: it accepts pushes for that platform and drops them",
        f"{_CREDENTIALS_PAGE} Not needed where no such device registers.",
    )


def _apns(found: ApnsCredentials, area: Area) -> Iterator[Check]:
    if found.by_token:
        yield area.passed("APNs authentication", "by token")
    else:
        yield area.failed(
            "APNs authentication",
            "by certificate, with which calls do not work",
            "Portal, the notification hub, Apple (APNS): authentication mode 'Token', with a .p8 key.",
        )
    environment = "sandbox" if found.is_sandbox else "production"
    fits = "builds run from Xcode" if found.is_sandbox else "TestFlight and the App Store"
    yield area.note("APNs environment", f"{environment}: it fits tokens of {fits}, and no others")
    bundle_id = found.bundle_id or "not set"
    hint = "" if found.bundle_id is None else "; a hub for VoIP alone may need the suffix .voip [?]"
    yield area.note("APNs bundle id", f"{bundle_id}: it has to be that of the app{hint}")


def _subscriptions(found: Deployment) -> Iterator[Check]:
    question = "event subscription"
    if isinstance(found.topics, Unanswered):
        yield _unanswered(question, found.topics)
        return
    if not found.topics:
        yield AREA.unknown(
            question,
            "the Azure subscription has no system topic of a Communication Services resource",
            "If the resource is in another one, select that and run the doctor again. If there is no "
            "subscription to events yet, make it:",
            "az account set --subscription SUBSCRIPTION",
            _SUBSCRIBE,
        )
        return
    all_of_them = [(topic, each) for topic in found.topics for each in topic.subscriptions]
    ours = [(topic, each) for topic, each in all_of_them if each.is_ours]
    if not ours:
        yield AREA.failed(
            question, f"no subscription delivers to {FUNCTION_NAME} of {found.app}", "Make one:", _SUBSCRIBE
        )
    for topic, each in ours:
        yield from _ours(topic, each)
    yield from _others(ours, all_of_them)
    yield from _links(found.topics)


def _ours(topic: Topic, found: EventSubscription) -> Iterator[Check]:
    question = f"event subscription {found.name}"
    show = _az(
        "eventgrid", "system-topic", "event-subscription", "show", "--name", found.name,
        "--system-topic-name", found.topic, "--resource-group", found.group,
    )  # fmt: skip
    if not found.takes_incoming_calls:
        yield AREA.failed(
            question, "its event types do not include IncomingCall", "Set it up again:", _SUBSCRIBE
        )
    elif found.state.lower() != "succeeded":
        yield AREA.failed(question, f"its state is {found.state}", "See why:", show)
    elif found.has_filter:
        yield AREA.unknown(
            question,
            "it filters by subject or data, which may leave users out",
            "Look at its filter:",
            show,
        )
    else:
        yield AREA.passed(question, f"incoming calls of {topic.communication_service} are delivered here")
    if found.dead_letters is None:
        yield AREA.note(
            f"dead letters of {found.name}",
            "off: an event that is given up leaves nothing to look at",
            "Set it up again, with dead letters:",
            _SUBSCRIBE,
        )


def _others(
    ours: Sequence[tuple[Topic, EventSubscription]], all_of_them: Sequence[tuple[Topic, EventSubscription]]
) -> Iterator[Check]:
    topics = {topic.communication_service for topic, _ in ours}
    for topic, each in all_of_them:
        if topic.communication_service in topics and each.takes_incoming_calls and not each.is_ours:
            yield AREA.note(
                "another event subscription",
                f"incoming calls also go to {each.name} ({each.target})",
                "If it rings the same phones, they ring twice: docs/migration.md says how to switch over.",
            )


def _links(topics: Sequence[Topic]) -> Iterator[Check]:
    question = "link to the hub"
    for topic in topics:
        if isinstance(topic.linked_hub, Unanswered):
            yield _unanswered(question, topic.linked_hub, counts=False)
        elif topic.linked_hub:
            yield AREA.note(
                question,
                f"{topic.communication_service} is linked to the hub {topic.linked_hub.rpartition('/')[2]}",
                "Where an app also calls registerPushNotifications, its phone rings twice.",
            )
        else:
            yield AREA.passed(question, f"{topic.communication_service} is not linked to a hub")


def _dead_letters(found: Deployment) -> Iterator[Check]:
    for name, count in found.recent_dead_letters.items():
        question = f"dead letters of {name}"
        if isinstance(count, Unanswered):
            yield _unanswered(question, count, counts=False)
        elif count == 0:
            yield AREA.passed(question, "none within the last day")
        else:
            yield AREA.failed(
                question,
                f"{count} event{' was' if count == 1 else 's were'} given up within the last day",
                "Each holds the event and the reason (deadLetterReason). Fetch them:",
                *_download(found, name),
            )


def _download(found: Deployment, subscription: str) -> Iterator[str]:
    if isinstance(found.topics, Unanswered):
        return
    for topic in found.topics:
        for each in topic.subscriptions:
            if each.name == subscription and each.dead_letters is not None:
                account, container = each.dead_letters
                kept = ("--account-name", account, "--source", container, "--destination", ".")
                yield _az("storage", "blob", "download-batch", *kept, "--auth-mode", "login")
