"""Telemetry of notifications and the feedback container: what the service has beside Direct Send."""

import uuid

from aiohttp import web

from local.hub import reads, service_answers
from local.hub.blob_api import container_url
from local.hub.checks import NO_SUCH_HUB
from local.hub.config import HubConfig
from local.hub.service_request import HubRequest, tracking_id
from local.hub.simulator import Simulator
from local.hub.telemetry import notification_details


class ReadApi:
    """Answers from what the simulator has recorded."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def answer(self, request: HubRequest, base_url: str) -> web.Response | None:
        """None for any other request. `base_url`: the simulator's address, for the container's."""
        if not (reads.is_telemetry(request) or reads.is_feedback(request)):
            return None
        tracking = tracking_id(request.headers) or str(uuid.uuid4())
        hub = self._simulator.hubs.addressed(request)
        if hub is None:
            return service_answers.error(NO_SUCH_HUB, tracking)
        refusal = reads.refused_read(request, hub, self._simulator.now())
        if refusal is not None:
            return service_answers.error(refusal, tracking)
        if reads.is_telemetry(request):
            return self._telemetry(hub, request.segments[2], tracking)
        url = container_url(self._simulator, hub, base_url)
        return web.Response(text=url, headers={"TrackingId": tracking})

    def _telemetry(self, hub: HubConfig, notification_id: str, tracking: str) -> web.Response:
        push = self._simulator.reported_push(hub.hub_name, notification_id)
        if push is None:
            return service_answers.error(reads.NOT_KNOWN, tracking)
        details = notification_details(push, service_answers.location(push, hub))
        return service_answers.document(details, status=200, tracking_id=tracking)
