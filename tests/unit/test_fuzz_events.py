"""More than ten thousand bad events and call contexts, each refused by our own error, nothing of it kept."""

import base64
import copy
import json
import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import bson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.samples import call_context_cp, cloud_event, event_grid_event, incoming_call_data
from models.call import IncomingCall
from models.errors import InvalidEventError, PushTooLargeError
from models.platform import Platform
from models.push import PushNotificationInfo
from push.call_context import call_context
from push.delivery import DeliveryReport, TimeLimits
from push.event_log import EventResult
from push.hub.payload import build_push
from push.ledger_entry import EventKey
from tests.fakes import NOW, FakeClock, app_log, event_handler

LIMITS = TimeLimits(timedelta(seconds=60), 20, 3, 7)
# Made at run time: Hypothesis also draws the constants of the modules that the process has imported, and a
# user of the samples, or a piece of our own messages, would be found where it belongs.
NAME, SECRET, JUNK = (f"do-not-log-{uuid.uuid4()}" for _ in range(3))
CALLEE = f"8:acs:{uuid.uuid4()}_{uuid.uuid4()}"

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=30)
    | st.sampled_from(
        ["", ".", "..", "a.b.c", "8:acs:", "4:", "\ud83d", "\x00", "\u2028", "=", "e30", "9" * 400]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)

PLACES: tuple[tuple[str, ...], ...] = (
    (),
    ("id",),
    ("topic",),
    ("source",),
    ("eventType",),
    ("type",),
    ("eventTime",),
    ("time",),
    ("specversion",),
    ("traceparent",),
    ("tracestate",),
    ("data",),
    ("data", "to"),
    ("data", "to", "rawId"),
    ("data", "from"),
    ("data", "from", "rawId"),
    ("data", "callerDisplayName"),
    ("data", "customContext"),
    ("data", "incomingCallContext"),
    ("data", "correlationId"),
)


def part(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


GOOD = incoming_call_data(CALLEE, display_name=NAME)
EVENTS = (event_grid_event(GOOD, time=NOW), cloud_event(GOOD, time=NOW))


class Rings:
    """Stands for delivery, and does with a call what delivery and its ledger do, short of the network."""

    def __init__(self) -> None:
        self.calls = 0

    def deliver(self, call: IncomingCall, context: str) -> DeliveryReport:
        """Encode everything that would be stored or sent."""
        self.calls += 1
        assert call.callee.can_own_devices
        assert context
        key = EventKey(call.event_source, call.event_id, call.correlation_id)
        bson.encode({"_id": key.document_id, "correlationId": call.correlation_id, "acsMri": call.callee.mri})
        info = PushNotificationInfo(
            context, call.correlation_id, call.callee.mri, call.caller_mri, call.caller_display_name
        )
        for platform in Platform:
            try:
                json.loads(build_push(platform, info, NOW, NOW + timedelta(seconds=60)).body)
            except PushTooLargeError:
                continue
        return DeliveryReport(EventResult.DELIVERED)


class Tally:
    """What became of the inputs."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.rings = Rings()
        self.handler = event_handler(self.rings, LIMITS, FakeClock())

    def try_event(self, text: str) -> None:
        """Handle one event; anything but an answer of ours fails the test."""
        before = self.rings.calls
        with app_log() as log:
            try:
                self.handler.handle(text)
            except InvalidEventError:
                self.counts["refused"] += 1
                assert self.rings.calls == before
            else:
                self.counts["delivered" if self.rings.calls > before else "skipped"] += 1
        (line,) = log.events("incoming_call")
        assert set(line) <= {
            "event", "level", "event_id", "event_type", "reason", "call_id", "callee", "code", "detail",
            "result", "late_seconds", "devices", "accepted", "already_settled", "retried", "gone", "failed",
            "total_ms",
        }, line  # fmt: skip
        assert "\n" not in log.text
        for secret in (NAME, SECRET, GOOD["to"]["rawId"], GOOD["incomingCallContext"]):
            assert secret not in log.text

    @property
    def bad(self) -> int:
        """Those for which no phone rang."""
        return self.counts["refused"] + self.counts["skipped"]


@pytest.fixture(scope="module")
def tally() -> Tally:
    return Tally()


def replaced(event: Mapping[str, Any], place: tuple[str, ...], value: object) -> object:
    """The event with something else in that place."""
    if not place:
        return value
    changed = copy.deepcopy(dict(event))
    inner = changed
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return changed


FUZZ = settings(
    max_examples=420, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@FUZZ
@given(value=JSON)
def test_anything_anywhere(tally: Tally, value: object) -> None:
    """Any JSON in any place of an event, in either schema, is refused, skipped or done without."""
    for event in EVENTS:
        for place in PLACES:
            tally.try_event(json.dumps(replaced(event, place, value)))


@FUZZ
@given(
    value=JSON,
    junk=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    raw=st.binary(max_size=40),
)
def test_any_context(tally: Tally, value: object, junk: str, raw: bytes) -> None:
    """Any call context is refused by our own error or yields the `cc` as it stands, and never quoted."""
    good = part({"cc": call_context_cp("x"), "shrToken": SECRET})
    marked = f"{JUNK}{junk}"
    for context in (
        value,
        junk,
        marked,
        f"{marked}.{good}",
        f"a.{part(value)}.",
        f"a.{part({'cc': value, 'shrToken': SECRET})}.",
        f"a.{part({'cc': junk, 'shrToken': SECRET})}.",
        f"a.{part({'cc': marked, 'shrToken': SECRET})}.",
        f"a.{base64.b64encode(raw).decode()}.",
        f"a.{good[: len(raw)]}.",
        f"a.{good}.{marked}.",
    ):
        data = {**GOOD, "incomingCallContext": context}
        tally.try_event(json.dumps(event_grid_event(data, time=NOW)))
        if isinstance(context, str) and (said := complaint(context)):
            assert SECRET not in said
            assert JUNK not in said


def complaint(context: str) -> str:
    """What is said of a context that cannot be used; empty for a usable one."""
    try:
        assert call_context(context)
    except InvalidEventError as error:
        return f"{error}{error.__cause__ or ''}"
    return ""


@FUZZ
@given(text=st.text(st.characters(exclude_categories=[]), max_size=200), cut=st.integers(0, 2_000))
def test_no_json_at_all(tally: Tally, text: str, cut: int) -> None:
    """Any text, and an event that ends too early, is refused."""
    whole = json.dumps(EVENTS[0])
    for event in (text, f"{text}{whole}", whole[: cut % len(whole)], f"[{whole}]"):
        tally.try_event(event)


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"data":' * 50_000, "9" * 5_000, '"\\ud800"', "{}" * 9, "NaN"]
)
def test_extremes(tally: Tally, text: str) -> None:
    """Nested without end, numbers without end, half a character: refused."""
    tally.try_event(text)
    assert tally.counts["refused"]


def test_enough_of_them(tally: Tally, record_property: Any) -> None:
    """There were ten thousand bad inputs, and good ones among them came through."""
    print(f"Fuzzed events: {dict(tally.counts)}")  # noqa: T201 - the statistic
    record_property("bad_inputs", tally.bad)
    assert tally.bad >= 10_000
    assert tally.counts["delivered"] > 1_000
