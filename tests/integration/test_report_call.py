"""ReportCall through the real worker, two processes over one database: what a phone's report does."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from local.hub.faults import Fault
from local.samples import (
    CALL_ENDED,
    Phone,
    call_ended_data,
    event_grid_event,
    incoming_call_data,
    phones,
)
from local.stack import Host, Stack
from tests.call_events import data_of
from tests.end_to_end.callers import bearer, problem
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import another_host, new_user, register_phones
from tests.oidc_issuer import ADMIN_ROLE, OidcIssuer
from tests.rig import at_once, eventually
from tests.subscriptions import subscription_text

NOTICES = {
    "StopRinging": "fcmv1,windows,browser",
    "VisibleNotifications": "missed",
    "RegistrationsPerMinute": "0",
}


@pytest.fixture(scope="module")
def own_log() -> HostLog:
    """What the workers of these tests write."""
    return HostLog()


@pytest.fixture(scope="module")
def pair(stack: Stack, own_log: HostLog) -> Iterator[tuple[Host, Host]]:
    """Two workers that stop Android and Windows devices and tell of missed calls."""
    with another_host(stack, own_log, NOTICES) as one, another_host(stack, own_log, NOTICES) as two:
        yield one, two


@dataclass(frozen=True)
class Ring:
    """A call that rings a user's three phones."""

    stack: Stack
    user: str
    phones: tuple[Phone, ...]
    call: dict[str, Any]

    @classmethod
    def of(cls, stack: Stack, host: Host) -> "Ring":
        """A new one, delivered to a host."""
        devices = register_phones(host, user := new_user())
        call = event_grid_event(incoming_call_data(user))
        assert host.deliver(call).status_code == 202
        return cls(stack, user, devices, call)

    @property
    def call_id(self) -> str:
        """As in the push."""
        return str(self.call["data"]["correlationId"])

    def report(
        self, host: Host, phone: Phone, state: str, headers: Mapping[str, str] | None = None, **changes: str
    ) -> requests.Response:
        """Report for a phone, with the function's key unless there are headers."""
        whole = {"acsMri": self.user, "deviceUUID": phone.device_uuid, "callId": self.call_id, "state": state}
        if headers is None:
            return host.report_call(whole | changes)
        return host.call("POST", "report_call", headers=headers, json=whole | changes)

    def stops(self, phone: Phone) -> list[str]:
        """The reasons of the stops that a phone got."""
        return [data["reason"] for data in self._pushes(phone) if str(data.get("eventId")) == "110"]

    def rings(self, phone: Phone) -> int:
        """How often a phone was rung."""
        return sum(str(data.get("eventId")) == "107" for data in self._pushes(phone))

    def missed(self, phone: Phone) -> int:
        """How often a phone showed the missed call."""
        return sum(data.get("event") == "missedCall" for data in self._pushes(phone))

    def _pushes(self, phone: Phone) -> list[dict[str, Any]]:
        pushes = [each for each in self.stack.hub.pushes() if each.device_handle == phone.device_token]
        return [data_of(each) for each in pushes if each.body.startswith("{")]


@pytest.fixture
def ring(workers: Stack, pair: tuple[Host, Host]) -> Ring:
    return Ring.of(workers, pair[0])


class TestReports:
    @pytest.mark.parametrize("state", ["answered", "declined"])
    def test_the_others_stop_before_the_answer(self, pair: tuple[Host, Host], ring: Ring, state: str) -> None:
        """When the answer comes, the other devices have been stopped, and the reporting one has not."""
        iphone, android, windows = ring.phones
        # The other worker: nothing of the ring is in its memory.
        response = ring.report(pair[1], android, state)
        assert (response.status_code, response.content) == (204, b"")
        assert (ring.stops(windows), ring.stops(android), ring.stops(iphone)) == ([state], [], [])

    def test_an_iphone_writes_capitals(self, pair: tuple[Host, Host], ring: Ring) -> None:
        """The call id and the user count without letter case."""
        iphone, android, windows = ring.phones
        response = ring.report(
            pair[0], iphone, "answered", callId=ring.call_id.upper(), acsMri=ring.user.upper()
        )
        assert response.status_code == 204
        assert ring.stops(android) == ring.stops(windows) == ["answered"]

    def test_the_same_again(self, pair: tuple[Host, Host], ring: Ring) -> None:
        """The same report again, and another one after it, change nothing."""
        _, android, windows = ring.phones
        for state in ("answered", "answered", "declined"):
            assert ring.report(pair[0], android, state).status_code == 204
        assert ring.report(pair[1], windows, "declined").status_code == 204
        assert (ring.stops(windows), ring.stops(android)) == (["answered"], [])

    def test_ringing(self, pair: tuple[Host, Host], ring: Ring, own_log: HostLog) -> None:
        """The proof that a phone rang: one line with the time since the event; nothing stops."""
        iphone, android, windows = ring.phones
        for _ in range(2):
            assert ring.report(pair[0], android, "ringing").status_code == 204
        line = own_log.entry(event="device_reported", call_id=ring.call_id)
        assert (line.fields["state"], line.fields["platform"]) == ("ringing", "fcmv1")
        assert 0 <= line.fields["after_ms"] < 60_000
        assert not any(ring.stops(phone) for phone in (iphone, android, windows))

    def test_missed(self, pair: tuple[Host, Host], workers: Stack) -> None:
        """The last device that rings reports the call as missed: its user sees that, once."""
        host, user = pair[0], new_user()
        _, android, _ = phones()
        assert host.add_device_token(android.registration(user)).status_code == 201
        call = event_grid_event(incoming_call_data(user))
        assert host.deliver(call).status_code == 202
        ring = Ring(workers, user, (android,), call)
        for _ in range(2):
            assert ring.report(host, android, "missed").status_code == 204
        assert ring.missed(android) == 1

    def test_missed_while_another_rings(self, pair: tuple[Host, Host], ring: Ring) -> None:
        """A call that still rings elsewhere is not missed yet."""
        _, android, windows = ring.phones
        assert ring.report(pair[0], android, "missed").status_code == 204
        assert ring.missed(android) == ring.missed(windows) == 0

    def test_registered_after_the_ring(self, pair: tuple[Host, Host], ring: Ring) -> None:
        """A device that has not been rung may report, and the others stop."""
        later = phones()[1]
        assert pair[0].add_device_token(later.registration(ring.user)).status_code == 201
        assert ring.report(pair[0], later, "answered").status_code == 204
        assert ring.stops(ring.phones[1]) == ["answered"]

    def test_before_the_result_is_written(self, pair: tuple[Host, Host], workers: Stack) -> None:
        """A phone that rings before the hub has answered reports, and each other device is stopped once."""
        host, user = pair[0], new_user()
        iphone, android, _ = register_phones(host, user)
        call = event_grid_event(incoming_call_data(user))
        ring = Ring(workers, user, (iphone, android), call)
        workers.hub.set_latency(0.4)  # within the workers' time-out
        try:
            with ThreadPoolExecutor(1) as pool:
                delivery = pool.submit(host.deliver, call)
                # Accepted and not yet answered.
                eventually(lambda: ring.rings(iphone) == 1)
                assert ring.report(pair[1], iphone, "answered").status_code == 204
                assert delivery.result().status_code == 202
        finally:
            workers.hub.set_latency(0)
        assert ring.stops(android) == ["answered"]
        assert ring.stops(iphone) == []

    def test_the_hub_is_away(self, pair: tuple[Host, Host], ring: Ring) -> None:
        """The report is written down whatever becomes of the stops."""
        _, android, windows = ring.phones
        ring.stack.hub.add_fault(Fault(kind="status", status=429, retry_after="60"))
        assert ring.report(pair[0], android, "answered").status_code == 204
        ring.stack.hub.clear_faults()
        assert ring.stops(windows) == []
        # An event that follows finds the answer, and sends what is left over.
        end = event_grid_event(call_ended_data(ring.call["data"]), kind=CALL_ENDED)
        assert pair[1].deliver(end).status_code == 202
        assert len(ring.stops(windows)) == 1
        assert ring.missed(windows) == 0


class TestBrowsers:
    def test_rings_and_stops(self, pair: tuple[Host, Host], workers: Stack) -> None:
        """A browser that registers its subscription rings, and is stopped when the phone answers; so is the
        phone when the browser does."""
        for answering in ("phone", "browser"):
            host, user = pair[0], new_user()
            android = phones()[1]
            endpoint = f"https://updates.push.services.mozilla.com/wpush/v2/{uuid.uuid4().hex}"
            browser = Phone("browser", str(uuid.uuid4()), subscription_text(endpoint), "web")
            for device in (android, browser):
                assert host.add_device_token(device.registration(user)).status_code == 201
            call = event_grid_event(incoming_call_data(user))
            assert host.deliver(call).status_code == 202
            ring = Ring(workers, user, (android, browser), call)
            device = android if answering == "phone" else browser
            assert ring.report(pair[1], device, "answered").status_code == 204
            pushes = [each for each in workers.hub.pushes() if each.device_handle == endpoint]
            events = [json.loads(each.body)["eventId"] for each in pushes]
            assert events == ([107, 110] if answering == "phone" else [107])
            assert ring.stops(android) == ([] if answering == "phone" else ["answered"])


class TestStrangers:
    def test_unknown_and_foreign(self, pair: tuple[Host, Host], ring: Ring, workers: Stack) -> None:
        """Another user's call, no call at all and an unknown device have one and the same answer."""
        other = Ring.of(workers, pair[0])
        iphone = ring.phones[0]
        answers = [
            ring.report(pair[0], iphone, "answered", callId=other.call_id),
            ring.report(pair[0], iphone, "answered", callId=str(uuid.uuid4())),
            ring.report(pair[0], iphone, "answered", deviceUUID=other.phones[0].device_uuid),
            ring.report(pair[0], iphone, "answered", deviceUUID="unknown"),
        ]
        for response in answers:
            problem(response, 404, "call_not_found")
        assert len({response.content for response in answers}) == 1
        assert not any(each.stops(phone) for each in (ring, other) for phone in each.phones)

    def test_with_a_token(self, workers: Stack) -> None:
        """With bearer tokens a user reports for themselves, an administrator for every user, and a stranger
        hears the same whether or not there is such a call."""
        with (
            OidcIssuer() as issuer,
            another_host(workers, HostLog(), {**NOTICES, **issuer.settings()}) as signed_in,
        ):
            user, other = new_user(), new_user()
            for owner in (user, other):
                token = bearer(issuer.token(acsMri=owner))
                for phone in (devices := phones()):
                    added = signed_in.call(
                        "POST", "add_device_token", headers=token, json=phone.registration(owner)
                    )
                    assert added.status_code == 201
            call = event_grid_event(incoming_call_data(other))
            assert signed_in.deliver(call).status_code == 202
            ring = Ring(workers, other, devices, call)
            _, android, windows = devices
            stranger = bearer(issuer.token(acsMri=user))
            answers = [
                ring.report(signed_in, android, "answered", stranger),
                ring.report(signed_in, android, "answered", stranger, callId="no-call"),
                ring.report(signed_in, android, "answered", stranger, deviceUUID="unknown"),
            ]
            for response in answers:
                problem(response, 403, "forbidden")
            assert len({response.content for response in answers}) == 1
            key = {"x-functions-key": workers.keys.functions["ReportCall"]}
            problem(ring.report(signed_in, android, "answered", key), 401, "unauthenticated")
            assert ring.stops(windows) == []
            own = bearer(issuer.token(acsMri=other))
            assert ring.report(signed_in, android, "ringing", own).status_code == 204
            administrator = bearer(issuer.token(roles=[ADMIN_ROLE]))
            assert ring.report(signed_in, android, "answered", administrator).status_code == 204
            assert ring.stops(windows) == ["answered"]


class TestTwoWorkers:
    def test_all_at_once(self, pair: tuple[Host, Host], workers: Stack) -> None:
        """Both workers hear of the end and of a phone's answer at once: each other phone is stopped once."""
        for _ in range(5):
            ring = Ring.of(workers, pair[0])
            end = event_grid_event(call_ended_data(ring.call["data"]), kind=CALL_ENDED)
            iphone, android, windows = ring.phones

            def tell(work: tuple[Host, Phone | None], ring: Ring = ring, end: Any = end) -> int:
                host, phone = work
                if phone is None:
                    return host.deliver(end).status_code
                return ring.report(host, phone, "answered").status_code

            answers = Counter(at_once(tell, [(host, phone) for phone in (None, iphone) for host in pair]))
            assert answers == {202: 2, 204: 2}
            for phone in (android, windows):
                assert len(ring.stops(phone)) == 1
            assert ring.stops(iphone) == []
