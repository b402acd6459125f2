"""Answers in the service's form."""

from datetime import UTC, datetime
from xml.sax.saxutils import escape

from aiohttp import web

from local.hub.check import Refusal
from local.hub.config import HubConfig, Tier
from local.hub.records import ReceivedPush


def location(push: ReceivedPush, hub: HubConfig) -> str:
    """Where the service tells what became of a push."""
    return f"https://{hub.host}/{hub.hub_name}/messages/{push.notification_id}?api-version=2020-06"


def created(push: ReceivedPush, hub: HubConfig) -> web.Response:
    """201; only the tier Standard tells the notification's id."""
    headers = {"TrackingId": push.tracking_id}
    if hub.tier is Tier.STANDARD:
        headers["Location"] = location(push, hub)
    return web.Response(status=201, headers=headers)


def error(refusal: Refusal, tracking_id: str) -> web.Response:
    """An error in XML."""
    detail = f"{refusal.reason}. TrackingId:{tracking_id},TimeStamp:{datetime.now(UTC):%m/%d/%Y %H:%M:%S}"
    body = f"<Error><Code>{refusal.status}</Code><Detail>{escape(detail)}</Detail></Error>"
    return document(body, status=refusal.status, tracking_id=tracking_id)


def document(text: str, *, status: int, tracking_id: str) -> web.Response:
    """XML."""
    answer = web.Response(status=status, headers={"TrackingId": tracking_id}, body=text.encode())
    answer.headers["Content-Type"] = "application/xml;charset=utf-8"
    return answer
