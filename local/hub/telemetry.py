"""What the service tells of one notification (pure).

Source: Notification Hubs REST, "Get notification message telemetry".
"""

from datetime import UTC, datetime
from xml.sax.saxutils import escape

from local.hub.records import PlatformOutcome, ReceivedPush

SERVICE_NAMESPACE = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"
_SCHEMA_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
ROOT_ATTRIBUTES = f'xmlns="{SERVICE_NAMESPACE}" xmlns:i="{_SCHEMA_INSTANCE}"'

_COUNTS = {
    "apple": "ApnsOutcomeCounts",
    "fcmv1": "FcmV1OutcomeCounts",
    "windows": "WnsOutcomeCounts",
    "browser": "BrowserOutcomeCounts",
}


def notification_details(push: ReceivedPush, location: str) -> str:
    """The document `NotificationDetails`. It holds the whole push, as the service's does."""
    at = utc(push.received_at)
    elements = {
        "NotificationId": push.notification_id,
        "Location": location,
        "State": "Completed",
        "EnqueueTime": at,
        "StartTime": at,
        "EndTime": at,
        "NotificationBody": push.body,
        "TargetPlatforms": push.format,
    }
    written = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in elements.items())
    return f"<NotificationDetails {ROOT_ATTRIBUTES}>{written}{_counts(push)}</NotificationDetails>"


def _counts(push: ReceivedPush) -> str:
    if push.format == "fcmv1" and push.outcome is PlatformOutcome.EXPIRED_CHANNEL:
        # No outcome has been seen for a dead FCM token: Azure/azure-sdk-for-java#26534.
        return ""
    name = _COUNTS[push.format]
    return f"<{name}><Outcome><Name>{push.outcome}</Name><Count>1</Count></Outcome></{name}>"


def utc(seconds: float) -> str:
    """A time in the service's form, from Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
