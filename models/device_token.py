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

_PLACEHOLDERS = frozenset({"null", "(null)", "undefined", "blacklisted"})
"""What apps send without a token: the text of an empty variable, or what Firebase gave instead of one."""

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
    if not token:
        raise DeviceTokenError("must not be empty")
    if token.casefold() in _PLACEHOLDERS:
        raise DeviceTokenError("is a placeholder: the app has not received a token from its push service")
    match platform:
        case Platform.APPLE:
            return _apple(token)
        case Platform.FCM_V1:
            return _printable(token)
        case Platform.WINDOWS:
            return _windows(token)
        case Platform.BROWSER:
            return _browser(token)


def is_device_token(platform: Platform, text: str) -> bool:
    """Whether the text can be sent as it is. A registration from before these rules may hold another one."""
    try:
        return parse_device_token(platform, text) == text
    except DeviceTokenError:
        return False


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


def _apple(token: str) -> str:
    if token.startswith("<") and token.endswith(">"):
        token = token[1:-1]
    digits = "".join(token.split())
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


def _printable(token: str) -> str:
    if not _PRINTABLE_ASCII.fullmatch(token):
        raise DeviceTokenError("must be printable ASCII characters without white space")
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
