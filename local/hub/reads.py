"""What the service refuses of requests for telemetry and feedback (pure).

Source: Notification Hubs REST, "Get notification message telemetry" and "Get PNS feedback". Which right they
need is not documented: here it is `Send`.
"""

from local.hub.access import AUTHENTICATION, SEND_RIGHT
from local.hub.check import Check, Refusal, first_refusal
from local.hub.checks import API_VERSION
from local.hub.config import HubConfig, Tier
from local.hub.service_request import HubRequest, ServiceRequest

NOT_KNOWN = Refusal(404, "no notification of this id is known, or not yet: ask again after 10 seconds")

_CHECKS: tuple[Check[ServiceRequest], ...] = (
    *AUTHENTICATION,
    SEND_RIGHT,
    API_VERSION,
    Check(
        403,
        "this feature is not enabled for the tier of the namespace: it needs Standard",
        lambda it: it.hub.tier is not Tier.STANDARD,
    ),
)


def is_telemetry(request: HubRequest) -> bool:
    """`GET /{hub}/messages/{id}`."""
    return request.method == "GET" and len(request.segments) == 3 and request.segments[1] == "messages"


def is_feedback(request: HubRequest) -> bool:
    """`GET /{hub}/feedbackcontainer`."""
    return request.method == "GET" and request.segments[1:] == ["feedbackcontainer"]


def refused_read(request: HubRequest, hub: HubConfig, now: float) -> Refusal | None:
    """Why telemetry or feedback is refused at `now` (Unix seconds); None if it is not."""
    return first_refusal(ServiceRequest(request, hub, now), _CHECKS)
