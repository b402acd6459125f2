"""A span for each Direct Send, with the attributes that make the hub a node of the application map.

Conventions: https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client. Neither the device
token nor anything of the push is an attribute.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from common.tracing import SpanKind, Tracer, Value
from models.hub import HubEndpoint
from models.push import Outcome, OutcomeKind, Push
from push.hub.client import HubClient
from push.side_by_side import Work


class TracedSender:
    """Sends over a hub's client. Safe to share between threads."""

    def __init__(self, client: HubClient, tracer: Tracer, endpoint: HubEndpoint) -> None:
        """Take the client, and the hub that the spans describe."""
        self._client = client
        self._tracer = tracer
        self._attributes = {"hub": endpoint.hub, **_request_attributes(endpoint)}

    def sending(
        self, push: Push, device_token: str, time_left: float, *, fresh_connection: bool = False
    ) -> Work[Outcome]:
        """The client's, in a span."""
        with self._tracer.span("direct send", SpanKind.CLIENT) as span:
            outcome = yield from self._client.sending(
                push, device_token, time_left, fresh_connection=fresh_connection
            )
            span.set({**self._attributes, "platform": push.format, **_outcome_attributes(outcome)})
            if outcome.kind is not OutcomeKind.ACCEPTED:
                span.fail(outcome.kind.value if outcome.status is None else str(outcome.status))
        return outcome


def _request_attributes(endpoint: HubEndpoint) -> Mapping[str, Value]:
    parts = urlsplit(endpoint.messages_url)
    return {
        "http.request.method": "POST",
        "url.full": endpoint.messages_url,
        "url.scheme": parts.scheme,
        "server.address": parts.hostname,
        # Application Insights shows a target without its port if that is the scheme's own.
        "server.port": parts.port or (443 if parts.scheme == "https" else 80),
    }


def _outcome_attributes(outcome: Outcome) -> Mapping[str, Value]:
    return {
        "outcome": outcome.kind.value,
        "tracking_id": outcome.tracking_id,
        "http.response.status_code": outcome.status,
        "unanswered": outcome.unanswered.value if outcome.unanswered else None,
        "used_secondary_key": outcome.used_secondary_key or None,
    }
