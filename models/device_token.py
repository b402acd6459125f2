"""The shape of a device token on each platform: one definition for registrar, sender and simulator (pure).

A push with a token of another shape is refused by the hub or reaches no device. So the registrar refuses the
token, where the app's developer sees it.

Sources: Apple, "Registering your app with APNs" (an APNs token is opaque bytes; Notification Hubs takes them
in hexadecimal); Microsoft, "Windows Push Notification Services overview" (a channel URI has to belong to
`notify.windows.com`). An FCM token has no documented shape; it travels in an HTTP header. A browser's is its
push subscription (`models/push_subscription.py`).
"""

import re
from urllib.parse import urlsplit

from models.platform import Platform
from models.push_subscription import PushSubscription

APPLE_SHORTEST, APPLE_LONGEST = 64, 200
"""Hexadecimal digits. Devices issue 64, simulators 160."""
WNS_HOST = "notify.windows.com"

_PLACEHOLDERS = frozenset(
    {
        # The text of an empty variable.
        "null", "(null)", "<null>", "nil", "none", "undefined", "optional(nil)",
        # What Google's library gives out instead of a token, such as
        # `InstanceID.ERROR_SERVICE_NOT_AVAILABLE`.
        "blacklisted", "account_missing", "authentication_failed", "fis_auth_error", "internal_server_error",
        "invalid_parameters", "invalid_sender", "missing_instanceid_service", "phone_registration_error",
        "service_not_available", "timeout", "too_many_registrations",
    }
)  # fmt: skip
"""What apps send where they have no token, in lower case."""

_NOT_A_TOKEN: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"Expo(nent)?PushToken\[.*\]", re.DOTALL),
        "is a token of Expo's push service: send the device's own token, from getDevicePushTokenAsync",
    ),
    (
        re.compile(r"Optional\(.*\)|([\"']).*\1", re.DOTALL),
        "has quotes or Optional(…) around it: send the token alone",
    ),
    (
        # What Java's `toString` makes of an object, such as a `Task` that has no result yet.
        re.compile(r"[A-Za-z_][\w$]*(\.[\w$]+)+@[0-9a-f]{1,8}", re.ASCII),
        "is the description of an object: wait until the push service's task is done, and send its result",
    ),
)
"""What apps send in place of a token on any platform, and what is said then."""

_FCM_MARK = ":APA91b"
"""In every registration token of FCM. The ids of installations that FCM takes instead do not have it."""

_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]+")
_PRINTABLE_ASCII = re.compile(r"[!-~]+")
_HTTPS_PORT = 443


class DeviceTokenError(ValueError):
    """The text is no device token of the platform. The message says what is expected and quotes nothing."""


def parse_device_token(platform: Platform, text: str) -> str:
    """The token as it is stored and sent.

    White space at its ends is removed, and the brackets and spaces that the description of an `NSData` has
    (`<96d6bb5d 412881d3 …>`). The letter case stays. A browser's subscription is written in one way.

    Raises:
        DeviceTokenError: it is no token of the platform.
    """
    token = text.strip()
    _check_is_a_token(token)
    match platform:
        case Platform.APPLE:
            return _apple(token)
        case Platform.FCM_V1:
            return _fcm(token)
        case Platform.WINDOWS:
            return _windows(token)
        case Platform.BROWSER:
            return _browser(token)


def problem_of(platform: Platform, text: str) -> str | None:
    """Why the text cannot be sent as it is, None if it can. A registration from before these rules may hold
    such a one."""
    try:
        token = parse_device_token(platform, text)
    except DeviceTokenError as error:
        return str(error)
    return None if token == text else "is written in a spelling that is not sent"


def is_device_token(platform: Platform, text: str) -> bool:
    """Whether the text can be sent as it is."""
    return problem_of(platform, text) is None


def compared_form(platform: Platform, token: str) -> str:
    """Equal for tokens that mean the same device.

    Hexadecimal digits have no letter case, and a browser's keys may change while its endpoint stays.
    """
    match platform:
        case Platform.APPLE:
            return token.lower()
        case Platform.BROWSER:
            try:
                return PushSubscription.parse(token).endpoint
            except ValueError:
                return token  # changed by hand in the database
        case _:
            return token


def former_spellings(platform: Platform, token: str) -> frozenset[str]:
    """The spellings in which a token may have been stored before its letter case was ignored."""
    return frozenset({token, token.lower(), token.upper()} if platform is Platform.APPLE else ())


def _check_is_a_token(token: str) -> None:
    """Refuse what is a token on no platform."""
    if not token:
        raise DeviceTokenError("must not be empty")
    if token.casefold() in _PLACEHOLDERS:
        raise DeviceTokenError("is a placeholder: the app has not received a token from its push service")
    for sent_instead, message in _NOT_A_TOKEN:
        if sent_instead.fullmatch(token):
            raise DeviceTokenError(message)


def _apple(token: str) -> str:
    if token.startswith("<") and token.endswith(">"):
        token = token[1:-1]
    digits = "".join(token.split())
    if _FCM_MARK in token:
        raise DeviceTokenError(
            "must be hexadecimal; this is a token of FCM: send the one that PushKit gives out"
        )
    if not _HEXADECIMAL.fullmatch(digits):
        raise DeviceTokenError(
            "must be hexadecimal: send the bytes of the token as hexadecimal digits, not their description "
            "and not base64"
        )
    if len(digits) % 2 or not APPLE_SHORTEST <= len(digits) <= APPLE_LONGEST:
        raise DeviceTokenError(
            f"must have an even number of hexadecimal digits, from {APPLE_SHORTEST} to {APPLE_LONGEST}"
        )
    return digits


def _fcm(token: str) -> str:
    if not _PRINTABLE_ASCII.fullmatch(token):
        raise DeviceTokenError("must be printable ASCII characters without white space")
    if APPLE_SHORTEST <= len(token) <= APPLE_LONGEST and _HEXADECIMAL.fullmatch(token):
        raise DeviceTokenError(
            "is a token of APNs: register an iPhone with the platform apple, or send the token that "
            "Firebase Cloud Messaging gives out"
        )
    return token


def _windows(token: str) -> str:
    wanted = f"must be the https URL of a channel at {WNS_HOST}"
    # A backslash ends the host for some readers of URLs and not for others.
    if not _PRINTABLE_ASCII.fullmatch(token) or "\\" in token:
        raise DeviceTokenError(wanted)
    try:
        parts = urlsplit(token)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise DeviceTokenError(wanted) from None
    belongs = host == WNS_HOST or host.endswith(f".{WNS_HOST}")
    if parts.scheme != "https" or not belongs or "@" in parts.netloc or port not in {None, _HTTPS_PORT}:
        raise DeviceTokenError(wanted)
    return token


def _browser(token: str) -> str:
    try:
        return PushSubscription.parse(token).text
    except ValueError as error:
        raise DeviceTokenError(str(error)) from None
