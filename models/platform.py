"""The push platforms."""

from enum import StrEnum


class Platform(StrEnum):
    """A push platform, named as Notification Hubs names its format."""

    APPLE = "apple"
    FCM_V1 = "fcmv1"
    WINDOWS = "windows"
    BROWSER = "browser"


PLATFORM_NAMES = {
    "apple": Platform.APPLE,
    # Google switched the legacy GCM protocol off in 2024; all three names mean FCM v1 today.
    "android": Platform.FCM_V1,
    "gcm": Platform.FCM_V1,
    "fcmv1": Platform.FCM_V1,
    "windows": Platform.WINDOWS,
    "browser": Platform.BROWSER,
    "web": Platform.BROWSER,
}
"""The names that apps may send, in lower case."""
