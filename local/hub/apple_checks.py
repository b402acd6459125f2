"""What is refused of a push to Apple's devices (pure).

Sources: Notification Hubs REST, "Send an APNS native notification"; Apple, "Sending notification requests to
APNs" and "Generating a remote notification".
"""

import re
from datetime import UTC, datetime

from local.hub.check import Check
from local.hub.conditions import lacks_object, not_matching, not_of
from local.hub.direct_send import SERVICE_PREFIX, ParsedSend

PUSH_TYPES = (
    "alert", "background", "complication", "controls", "fileprovider", "liveactivity", "location", "mdm",
    "pushtotalk", "voip", "widgets",
)  # fmt: skip
INTERRUPTION_LEVELS = frozenset({"passive", "active", "time-sensitive", "critical"})
COLLAPSE_ID_BYTES = 64

_TYPE, _SERVICE_TYPE = "apns-push-type", SERVICE_PREFIX + "apns-push-type"
_EXPIRY = SERVICE_PREFIX + "apns-expiry"
_UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,7})?)?(Z|\+00:00)", re.ASCII)
_ANY_TYPE = f"(?i:{'|'.join(PUSH_TYPES)})"


def _types(send: ParsedSend) -> set[str]:
    """What the two headers say, in lower case."""
    return {send.headers[name].lower() for name in (_TYPE, _SERVICE_TYPE) if name in send.headers}


def _expiry(send: ParsedSend) -> datetime | None:
    """The time of the service's header; None if it is absent or not an ISO time in UTC."""
    value = send.headers.get(_EXPIRY, "")
    try:
        return datetime.fromisoformat(value) if _UTC_TIME.fullmatch(value) else None
    except ValueError:
        return None


def _expires_at_two_times(send: ParsedSend) -> bool:
    other, expiry = send.headers.get("apns-expiration"), _expiry(send)
    if other is None or expiry is None:
        return False
    # The service's form may leave the seconds out.
    return abs(int(other) - expiry.astimezone(UTC).timestamp()) >= 60


def _shows_nothing(send: ParsedSend) -> bool:
    return "alert" in _types(send) and send.member("aps").keys().isdisjoint({"alert", "badge", "sound"})


def _not_a_background_push(send: ParsedSend) -> bool:
    if "background" not in _types(send):
        return False
    priorities = {send.headers.get(name, "5") for name in ("apns-priority", SERVICE_PREFIX + "apns-priority")}
    return send.member("aps").get("content-available") != 1 or priorities != {"5"}


def _not_texts(send: ParsedSend) -> bool:
    alert = send.member("aps", "alert")
    return not all(isinstance(alert.get(name, ""), str) for name in ("title", "subtitle", "body"))


def _unknown_level(send: ParsedSend) -> bool:
    level = send.member("aps").get("interruption-level", "active")
    return not isinstance(level, str) or level not in INTERRUPTION_LEVELS


APPLE: tuple[Check[ParsedSend], ...] = (
    Check(400, "the body has no aps object", lacks_object("aps")),
    Check(
        400,
        "apns-topic breaks token authentication: it comes from the hub's Bundle ID",
        lambda send: "apns-topic" in send.headers,
    ),
    Check(
        400,
        "an empty aps needs apns-push-type voip, in each of its headers",
        lambda send: not send.member("aps") and _types(send) != {"voip"},
    ),
    Check(400, "apns-push-type is none of APNs'", not_matching(_TYPE, _ANY_TYPE)),
    Check(
        400,
        "ServiceBusNotification-Apns-Push-Type is none of APNs'",
        not_matching(_SERVICE_TYPE, _ANY_TYPE),
    ),
    Check(400, "the two headers of the push type contradict each other", lambda send: len(_types(send)) > 1),
    Check(400, "the push type alert needs an alert, a badge or a sound in aps", _shows_nothing),
    Check(400, "the push type background needs content-available 1 and priority 5", _not_a_background_push),
    Check(400, "aps.alert must be a string or an object", not_of((str, dict), "aps", "alert")),
    Check(400, "title, subtitle and body of aps.alert must be strings", _not_texts),
    Check(400, "aps.sound must be a string or an object", not_of((str, dict), "aps", "sound")),
    Check(400, "aps.badge must be a number", not_of((int,), "aps", "badge")),
    Check(
        400,
        "aps.interruption-level must be one of " + ", ".join(sorted(INTERRUPTION_LEVELS)),
        _unknown_level,
    ),
    Check(400, "apns-priority must be 5 or 10", not_matching("apns-priority", "5|10")),
    Check(
        400,
        "ServiceBusNotification-Apns-Priority must be 5 or 10",
        not_matching(SERVICE_PREFIX + "apns-priority", "5|10"),
    ),
    Check(400, "apns-expiration must be whole unix seconds", not_matching("apns-expiration", r"\d{1,12}")),
    Check(
        400,
        "ServiceBusNotification-Apns-Expiry must be an ISO time in UTC",
        lambda send: _EXPIRY in send.headers and _expiry(send) is None,
    ),
    Check(400, "the two headers of the expiry say different times", _expires_at_two_times),
    Check(
        400,
        f"apns-collapse-id must be printable ASCII, at most {COLLAPSE_ID_BYTES} bytes",
        not_matching("apns-collapse-id", rf"[ -~]{{1,{COLLAPSE_ID_BYTES}}}"),
    ),
)
