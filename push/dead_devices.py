"""Forgets devices that platforms call dead, hub by hub.

A dead token has no sign of its own when a push is sent: it shows up in the hub's feedback, later. A sweep
reads what is new, decides, deletes, and only then writes down how far it has read. One that is cut off is
repeated by the next; what is read twice changes nothing.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from common import telemetry
from common.clock import Clock
from models.errors import DatabaseUnavailableError
from models.feedback import BlobMark, DeadRegistration, Feedback
from models.hub import DEFAULT_HUB
from push.feedback_marks import FeedbackMarks
from push.hub.answers import NoAnswer, meaning_of
from push.hub.client import HubClient
from push.hub.feedback import Blob, FeedbackParser, container_url
from push.hub.feedback_container import FeedbackContainer, FeedbackError

MOST_BYTES = 67_108_864
"""Of feedback in one sweep, all blobs together: about 100,000 documents. The next sweep reads on."""

READING_SECONDS = 120.0
"""How long one sweep reads the feedback of a hub."""

ASKING_SECONDS = 15.0

FEWEST_FOR_A_LIMIT = 10
"""Fewer dead devices are always forgotten: in a small app they are soon a large share."""

NO_LIMIT_PERCENT = 100

_DEAD = frozenset({"expiredchannel", "badchannel"})
_WRONG = "wrongtoken"


class ReportedRegistrations(Protocol):
    """What a sweep needs of the registrations."""

    def count(self, hub: str, named_hubs: Iterable[str]) -> int:
        """About how many a hub has."""
        ...

    def find(self, hub: str, dead: Mapping[str, datetime]) -> Sequence[DeadRegistration]:
        """Those of the hub that were not refreshed after their handle was reported."""
        ...

    def forget(self, dead: DeadRegistration) -> bool:
        """Delete one, unless it has changed."""
        ...


@dataclass(frozen=True, slots=True)
class SweepTools:
    """What every sweep uses."""

    hubs: Mapping[str, Callable[[], HubClient | None]]
    """By name, the default one among them; None where a hub's settings are wrong, which has been logged."""
    registrations: ReportedRegistrations
    marks: FeedbackMarks
    open_container: Callable[[str, float], FeedbackContainer]
    """Told the URL, and the monotonic time after which nothing more is read."""
    clock: Clock


@dataclass(slots=True)
class _Reading:
    """What one sweep has read of a hub's feedback."""

    dead: dict[str, datetime] = field(default_factory=dict, repr=False)
    """When each handle was last reported as dead."""
    errors: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    bytes: int = 0
    marks: list[BlobMark] = field(default_factory=list)

    def take(self, feedback: Feedback, now: datetime) -> None:
        """Note one report; one from the future counts as of now."""
        self.errors[feedback.error] += 1
        if feedback.error.lower() in _DEAD:
            at = min(feedback.at, now)
            self.dead[feedback.handle] = max(at, self.dead.get(feedback.handle, at))

    @property
    def wrong_tokens(self) -> int:
        """Reports of tokens that do not belong to the hub's credentials."""
        return sum(count for error, count in self.errors.items() if error.lower() == _WRONG)


class DeadDevices:
    """Sweeps the feedback of every hub. Safe to share between threads; two sweeps at once do no harm."""

    def __init__(self, tools: SweepTools, maximum_percent: int) -> None:
        """Take ready collaborators, and how large a share of a hub's registrations one sweep may delete."""
        self._tools = tools
        self._maximum_percent = maximum_percent
        self._told: set[str] = set()

    def sweep(self) -> None:
        """Read what is new, hub by hub; a hub that fails does not hinder the others.

        Raises:
            ConfigurationError: the database refuses the app.
        """
        for hub in self._tools.hubs:
            try:
                self._sweep(hub)
            except FeedbackError as error:
                telemetry.log(logging.WARNING, "feedback_not_read", hub=hub, reason=str(error))
            except DatabaseUnavailableError as error:
                telemetry.log(logging.WARNING, "feedback_not_read", hub=hub, reason=error.detail)

    def _sweep(self, hub: str) -> None:
        client = self._tools.hubs[hub]()
        if client is None:
            return
        url = self._container_url(client, hub)
        if url is None:
            return
        marks = self._tools.marks.read(client.address)
        reading = self._read(url, marks, hub)
        found = self._tools.registrations.find(hub, reading.dead)
        if self._is_too_many(hub, found):
            return
        forgotten = sum(self._tools.registrations.forget(dead) for dead in found)
        self._tools.marks.write(client.address, reading.marks)
        self._tell(hub, reading, forgotten, len(found))

    def _container_url(self, client: HubClient, hub: str) -> str | None:
        """None where the hub does not say, which has been logged."""
        reply = client.feedback(ASKING_SECONDS)
        if isinstance(reply, NoAnswer):
            raise FeedbackError(meaning_of(reply, client.settings).reason)
        if reply.status in {401, 403, 404}:
            why = (
                f"the hub answers {reply.status} for its feedback: it needs the Standard tier, and perhaps a "
                f"right beside Send in the policy of {client.settings.connection_string}. Devices that are "
                "gone are forgotten when their registration ends."
            )
            self._tell_once(hub, why)
            return None
        if reply.status != 200:
            raise FeedbackError(f"the hub answers {reply.status} for its feedback")
        try:
            return container_url(reply.body.decode("utf-8-sig", "replace"), client.address)
        except ValueError as error:
            raise FeedbackError(f"the address of the container {error}; it is not fetched") from None

    def _read(self, url: str, marks: Mapping[str, BlobMark], hub: str) -> _Reading:
        clock = self._tools.clock
        until = clock.monotonic() + READING_SECONDS
        reading = _Reading()
        with self._tools.open_container(url, until) as container:
            for blob in container.blobs():
                mark = marks.get(blob.name)
                is_over = reading.bytes >= MOST_BYTES or clock.monotonic() >= until
                if not is_over and (mark is None or mark.length != blob.length):
                    try:
                        mark = self._read_blob(container, blob, mark, reading)
                    except FeedbackError as error:
                        # It is read again by the next sweep; the other blobs are read now.
                        telemetry.log(logging.WARNING, "feedback_not_read", hub=hub, reason=str(error))
                if mark is not None:
                    reading.marks.append(mark)
        return reading

    def _read_blob(
        self, container: FeedbackContainer, blob: Blob, mark: BlobMark | None, reading: _Reading
    ) -> BlobMark:
        """Read on where the mark is; how far the blob has been read now."""
        # A blob that has become shorter was written anew.
        offset = mark.offset if mark is not None and mark.offset <= blob.length else 0
        now, parser, taken = self._tools.clock.now(), FeedbackParser(), 0
        if offset < blob.length:
            for piece in container.read(blob, offset):
                taken += len(piece)
                reading.bytes += len(piece)
                for feedback in parser.feed(piece):
                    reading.take(feedback, now)
                if reading.bytes >= MOST_BYTES:
                    break
        reading.unreadable += parser.unreadable
        # One that was not read to its end has changed, as far as the next sweep can tell.
        is_whole = offset + taken >= blob.length
        return BlobMark(blob.name, offset + parser.consumed, blob.length if is_whole else -1)

    def _is_too_many(self, hub: str, found: Sequence[DeadRegistration]) -> bool:
        """A large share of dead devices is more likely a mistake of the hub, or of its credentials."""
        if len(found) < FEWEST_FOR_A_LIMIT or self._maximum_percent >= NO_LIMIT_PERCENT:
            return False
        named_hubs = [name for name in self._tools.hubs if name != DEFAULT_HUB]
        total = self._tools.registrations.count(hub, named_hubs)
        if 100 * len(found) <= self._maximum_percent * total:
            return False
        telemetry.log(
            logging.CRITICAL,
            "too_many_dead_devices",
            hub=hub,
            dead=len(found),
            registrations=total,
            remedy=f"More than {self._maximum_percent} % of the hub's registrations are reported as dead. "
            "Nothing is deleted. Look at the hub's credentials; if the devices are gone, set "
            "FeedbackMaximumPercent higher (100: no limit) until the next sweep has run.",
        )
        return True

    def _tell(self, hub: str, reading: _Reading, forgotten: int, found: int) -> None:
        telemetry.log(
            logging.INFO,
            "dead_devices",
            hub=hub,
            reports=reading.errors.total(),
            dead=len(reading.dead),
            forgotten=forgotten,
            changed_meanwhile=found - forgotten or None,
            wrong_tokens=reading.wrong_tokens or None,
            unreadable=reading.unreadable or None,
        )
        if reading.wrong_tokens:
            telemetry.log(
                logging.WARNING,
                "wrong_tokens",
                hub=hub,
                reports=reading.wrong_tokens,
                remedy="Device tokens do not belong to the hub's credentials. No registration is deleted for "
                "it. Compare sandbox and production, the Bundle ID and the Firebase project: docs/hubs.md.",
            )

    def _tell_once(self, hub: str, remedy: str) -> None:
        if hub not in self._told:
            self._told.add(hub)
            telemetry.log(logging.INFO, "feedback_not_available", hub=hub, remedy=remedy)
