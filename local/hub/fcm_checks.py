"""What is refused of a push to Android's devices (pure).

Source: FCM HTTP v1, "REST Resource: projects.messages". FCM refuses members that it does not know; names are
taken in both spellings of protobuf's JSON.
"""

import re

from local.hub.check import Check
from local.hub.conditions import Condition, lacks_object, not_of, unknown_member
from local.hub.direct_send import ParsedSend


def _spellings(names: str) -> frozenset[str]:
    """snake_case and camelCase."""
    snake = names.split()
    return frozenset(snake) | {re.sub(r"_(.)", lambda found: found[1].upper(), name) for name in snake}


_BODY = _spellings("message validate_only")
_MESSAGE = _spellings("name data notification android webpush apns fcm_options token topic condition")
_NOTIFICATION = _spellings("title body image")
_ANDROID = _spellings(
    "collapse_key priority ttl restricted_package_name data notification fcm_options direct_boot_ok "
    "bandwidth_constrained_ok restricted_satellite_ok"
)
_ANDROID_NOTIFICATION = _spellings(
    "title body icon color sound tag click_action body_loc_key body_loc_args title_loc_key title_loc_args "
    "channel_id ticker sticky event_time local_only notification_priority default_sound "
    "default_vibrate_timings default_light_settings vibrate_timings visibility notification_count "
    "light_settings image bypass_proxy_notification proxy"
)


def _names_a_target(send: ParsedSend) -> bool:
    return not send.member("message").keys().isdisjoint({"token", "topic", "condition"})


def _data_not_strings(send: ParsedSend) -> bool:
    return not all(isinstance(value, str) for value in send.member("message", "data").values())


def _reserved_data_key(send: ParsedSend) -> bool:
    keys = send.member("message", "data")
    return any(key in {"from", "message_type"} or key.startswith(("google.", "gcm.")) for key in keys)


def _texts_not_strings(*path: str) -> Condition:
    names = ("title", "body", "tag", "image")
    return lambda send: not all(isinstance(send.member(*path).get(name, ""), str) for name in names)


def _android(name: str, pattern: str) -> Condition:
    """Refuse an `android` option that is present and does not match."""
    compiled = re.compile(pattern, re.ASCII)

    def refuses(send: ParsedSend) -> bool:
        options = send.member("message", "android")
        return name in options and not (isinstance(options[name], str) and compiled.fullmatch(options[name]))

    return refuses


FCM: tuple[Check[ParsedSend], ...] = (
    Check(400, "the body has no message object", lacks_object("message")),
    Check(400, "message has a token, topic or condition; the device handle is the target", _names_a_target),
    Check(400, "the body has a member that FCM does not know", unknown_member(_BODY)),
    Check(400, "message has a member that FCM does not know", unknown_member(_MESSAGE, "message")),
    Check(400, "message.data must be an object", not_of((dict,), "message", "data")),
    Check(400, "message.data must be flat, with string values only", _data_not_strings),
    Check(400, "message.data uses a reserved key: from, message_type, google.*, gcm.*", _reserved_data_key),
    Check(400, "message.notification must be an object", not_of((dict,), "message", "notification")),
    Check(
        400,
        "message.notification has a member that FCM does not know",
        unknown_member(_NOTIFICATION, "message", "notification"),
    ),
    Check(
        400,
        "the texts of message.notification must be strings",
        _texts_not_strings("message", "notification"),
    ),
    Check(400, "message.android must be an object", not_of((dict,), "message", "android")),
    Check(
        400,
        "message.android has a member that FCM does not know",
        unknown_member(_ANDROID, "message", "android"),
    ),
    Check(400, "message.android.ttl must be seconds such as 30s", _android("ttl", r"\d+(\.\d{1,9})?s")),
    Check(
        400,
        "message.android.priority must be high or normal",
        _android("priority", "high|normal|HIGH|NORMAL"),
    ),
    Check(
        400,
        "message.android.notification must be an object",
        not_of((dict,), "message", "android", "notification"),
    ),
    Check(
        400,
        "message.android.notification has a member that FCM does not know",
        unknown_member(_ANDROID_NOTIFICATION, "message", "android", "notification"),
    ),
    Check(
        400,
        "the texts of message.android.notification must be strings",
        _texts_not_strings("message", "android", "notification"),
    ),
)
