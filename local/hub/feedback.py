"""The feedback of the platforms: a container with one blob a day (pure).

Sources: Notification Hubs REST, "Get PNS feedback"; Azure Storage REST, "List Blobs".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.sax.saxutils import escape

from local.hub.records import ReceivedPush
from local.hub.telemetry import ROOT_ATTRIBUTES, utc


@dataclass(frozen=True, slots=True)
class Blob:
    """One day's documents, one after the other."""

    content: bytes
    modified: datetime
    """UTC."""

    @property
    def etag(self) -> str:
        """Another one whenever the blob has grown."""
        return f'"0x{len(self.content):X}"'

    @property
    def last_modified(self) -> str:
        """As in an HTTP header."""
        return format_datetime(self.modified, usegmt=True)


def blobs(pushes: Iterable[ReceivedPush]) -> dict[str, Blob]:
    """Blobs by name, in the order of their names, from the pushes that failed, oldest first."""
    days: dict[str, list[ReceivedPush]] = {}
    for push in pushes:
        days.setdefault(f"{datetime.fromtimestamp(push.received_at, UTC):%m%d%Y}", []).append(push)
    return {
        name: Blob(
            "\n".join(_document(push) for push in days[name]).encode(),
            datetime.fromtimestamp(days[name][-1].received_at, UTC),
        )
        for name in sorted(days)
    }


def _document(push: ReceivedPush) -> str:
    elements = {
        "FeedbackTime": utc(push.received_at),
        "NotificationSystemError": str(push.outcome),
        "Platform": push.format,
        "PnsHandle": push.device_handle,
        "NotificationId": push.notification_id,
    }
    written = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in elements.items())
    # The service declares UTF-16 whatever the bytes are.
    return f'<?xml version="1.0" encoding="utf-16"?><PnsFeedback {ROOT_ATTRIBUTES}>{written}</PnsFeedback>'


def listing(service: str, container: str, found: Mapping[str, Blob], marker: str, at_most: int) -> str:
    """A page of the container's list.

    Args:
        service: the address of the storage account.
        container: its name.
        found: blobs by name, in order.
        marker: the name to begin with; empty for the first page.
        at_most: number of blobs on a page.
    """
    names = [name for name in found if name >= marker]
    shown, following = names[:at_most], names[at_most : at_most + 1]
    written = "".join(_listed(name, found[name]) for name in shown)
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<EnumerationResults ServiceEndpoint="{escape(service)}" ContainerName="{escape(container)}">'
        f"<Blobs>{written}</Blobs><NextMarker>{''.join(following)}</NextMarker></EnumerationResults>"
    )


def _listed(name: str, blob: Blob) -> str:
    properties = {
        "Last-Modified": blob.last_modified,
        "Etag": blob.etag.strip('"'),
        "Content-Length": str(len(blob.content)),
        "Content-Type": "application/octet-stream",
        "BlobType": "BlockBlob",
    }
    written = "".join(f"<{each}>{value}</{each}>" for each, value in properties.items())
    return f"<Blob><Name>{name}</Name><Properties>{written}</Properties></Blob>"
