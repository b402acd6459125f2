"""A push as the page shows it (pure)."""

from local.hub.records import ReceivedPush
from local.page import masks
from local.page.pushes import read_push
from local.page.views import PushView


def push_view(push: ReceivedPush) -> PushView:
    """The push with its secrets masked."""
    return PushView(
        sequence=push.sequence,
        received_at=push.received_at,
        expires_at=read_push(push).expires_at,
        headers=masks.masked_headers(push.headers),
        body=masks.masked_body(push.body),
        body_bytes=len(push.body.encode()),
        tracking_id=push.tracking_id,
        notification_id=push.notification_id,
    )
