"""The simulator's control API under `/simulator/`, in JSON.

Requests that another site could send through a browser are refused (`local.request_guard`). `Origin` is not
required, so that curl and the clients of other languages work.
"""

from collections.abc import Callable

from aiohttp import web
from pydantic import BaseModel, ValidationError

from local.hub.faults import parse_fault
from local.hub.records import (
    AttemptList,
    DeviceOutcome,
    FaultList,
    HubList,
    HubTier,
    Latency,
    OutcomeList,
    PushList,
)
from local.hub.simulator import Simulator
from local.pydantic_errors import explain
from local.request_guard import is_own_host, is_own_origin, is_own_site


class ControlApi:
    """Routes requests to the simulator's thread-safe methods."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._routes: dict[tuple[str, str], Callable[[str, bytes], web.Response]] = {
            ("GET", "pushes"): self._pushes,
            ("DELETE", "pushes"): self._forget,
            ("GET", "attempts"): self._attempts,
            ("GET", "summary"): self._summary,
            ("GET", "faults"): self._faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "latency"): self._latency,
            ("PUT", "latency"): self._set_latency,
            ("GET", "hubs"): self._hubs,
            ("PUT", "hubs"): self._set_tier,
            ("GET", "outcomes"): self._outcomes,
            ("PUT", "outcomes"): self._set_outcome,
            ("DELETE", "outcomes"): self._clear_outcomes,
            ("GET", "telemetry"): self._telemetry,
            ("PUT", "telemetry"): self._set_telemetry,
        }

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """The answer; 400 and 403 say what is wrong with the request."""
        if not is_own_host(request):
            return _control_error(403, "Host is not the simulator's address: 127.0.0.1 or localhost")
        if not (is_own_origin(request) and is_own_site(request)):
            return _control_error(403, "the request comes from another site")
        name = request.path.removeprefix("/simulator/")
        if (request.method, name) not in self._routes:
            known = any(name == path for _, path in self._routes)
            return _control_error(405 if known else 404, "unknown operation of the simulator")
        body = await request.read()
        try:
            return self._routes[request.method, name](request.query.get("since", "0"), body)
        except ValidationError as error:
            return _control_error(400, explain(error))
        except ValueError as error:
            return _control_error(400, str(error))

    def _pushes(self, since: str, _body: bytes) -> web.Response:
        if not (since.isascii() and since.isdigit()):
            raise ValueError("since must be a sequence number")
        return _json(PushList(pushes=tuple(self._simulator.pushes(int(since)))))

    def _forget(self, _since: str, _body: bytes) -> web.Response:
        self._simulator.forget()
        return web.Response(status=204)

    def _attempts(self, _since: str, _body: bytes) -> web.Response:
        return _json(AttemptList(attempts=tuple(self._simulator.attempts())))

    def _summary(self, _since: str, _body: bytes) -> web.Response:
        return _json(self._simulator.summary())

    def _faults(self, _since: str, _body: bytes) -> web.Response:
        return _json(FaultList(faults=tuple(self._simulator.faults())))

    def _add_fault(self, _since: str, body: bytes) -> web.Response:
        fault = parse_fault(body)
        self._simulator.add_fault(fault)
        return _json(fault, status=201)

    def _clear_faults(self, _since: str, _body: bytes) -> web.Response:
        self._simulator.clear_faults()
        return web.Response(status=204)

    def _latency(self, _since: str, _body: bytes) -> web.Response:
        return _json(Latency(delay_seconds=self._simulator.latency()))

    def _set_latency(self, _since: str, body: bytes) -> web.Response:
        latency = Latency.model_validate_json(body)
        self._simulator.set_latency(latency.delay_seconds)
        return _json(latency)

    def _hubs(self, _since: str, _body: bytes) -> web.Response:
        hubs = self._simulator.hubs.all()
        return _json(HubList(hubs=tuple(HubTier(hub=hub.hub_name, tier=hub.tier) for hub in hubs)))

    def _set_tier(self, _since: str, body: bytes) -> web.Response:
        wanted = HubTier.model_validate_json(body)
        self._simulator.hubs.set_tier(wanted.hub, wanted.tier)
        return _json(wanted)

    def _outcomes(self, _since: str, _body: bytes) -> web.Response:
        return _json(OutcomeList(outcomes=tuple(self._simulator.outcomes())))

    def _set_outcome(self, _since: str, body: bytes) -> web.Response:
        wanted = DeviceOutcome.model_validate_json(body)
        self._simulator.set_outcome(wanted.device_handle, wanted.outcome)
        return _json(wanted)

    def _clear_outcomes(self, _since: str, _body: bytes) -> web.Response:
        self._simulator.clear_outcomes()
        return web.Response(status=204)

    def _telemetry(self, _since: str, _body: bytes) -> web.Response:
        return _json(Latency(delay_seconds=self._simulator.telemetry_delay()))

    def _set_telemetry(self, _since: str, body: bytes) -> web.Response:
        delay = Latency.model_validate_json(body)
        self._simulator.set_telemetry_delay(delay.delay_seconds)
        return _json(delay)


def _json(value: BaseModel, status: int = 200) -> web.Response:
    return web.Response(
        status=status, text=value.model_dump_json(by_alias=True), content_type="application/json"
    )


def _control_error(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)
