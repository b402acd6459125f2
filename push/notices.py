"""Sends notices about a call: each once a device and ring, over all instances.

A notice is claimed in the ledger before it is sent. It is sent again only after a try that cannot have
arrived.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from common import telemetry
from models.device import DeviceRegistration
from models.errors import ConfigurationError, DatabaseUnavailableError, PushTooLargeError
from models.push import DeviceResult, Outcome, OutcomeKind, Push
from push.call_states import CallStates
from push.fan_out import DeviceSend, FanOut, FanOutTools
from push.ledger_entry import LedgerEntry, NoticeKind, NoticeState


@dataclass(frozen=True, slots=True)
class NoticeReport:
    """What became of the notices of one kind for one ring."""

    sent: int = 0
    sent_to: frozenset[str] = frozenset()
    """Device keys."""
    left_over: int = 0
    """Notices that have not arrived and may be sent again."""
    not_sent: int = 0
    """Refused, or not known to have arrived."""

    def __add__(self, other: "NoticeReport") -> "NoticeReport":
        return NoticeReport(
            self.sent + other.sent,
            self.sent_to | other.sent_to,
            self.left_over + other.left_over,
            self.not_sent + other.not_sent,
        )


class Notices:
    """Sends notices. Safe to share between threads and instances."""

    def __init__(self, states: CallStates, tools: FanOutTools) -> None:
        """Take ready collaborators."""
        self._states = states
        self._tools = tools

    def send(
        self,
        entry: LedgerEntry,
        kind: NoticeKind,
        devices: Sequence[DeviceRegistration],
        build: Callable[[DeviceRegistration], Push],
        deadline: float,
    ) -> NoticeReport:
        """Send a notice to each device that has had none of its kind for this ring.

        Args:
            entry: the ring.
            kind: of the notice.
            devices: those to send it to.
            build: makes the push for a device.
            deadline: monotonic time after which nothing is sent.

        Raises:
            DatabaseUnavailableError, ConfigurationError: nothing is sent, because it cannot be claimed.
        """
        known = entry.notices.get(kind, {})
        wanted = [device for device in devices if device.device_key not in known and _fits(build, device)]
        if not wanted:
            return NoticeReport()
        own = self._states.claim(entry.id, kind, [device.device_key for device in wanted])
        claimed = [device for device in wanted if device.device_key in own]
        if not claimed:
            return NoticeReport()
        keeper = _ClaimKeeper(self._states, entry.id, kind, claimed)
        sends = [DeviceSend(device, partial(build, device)) for device in claimed]
        FanOut(self._tools, keeper, deadline, lambda: 0, repeat_unanswered=False).run(sends)
        states = {send.device.device_key: _state(send.outcome) for send in sends}
        keeper.settle(states)
        sent_to = frozenset(key for key, state in states.items() if state is NoticeState.SENT)
        left_over = sum(state is None for state in states.values())
        return NoticeReport(len(sent_to), sent_to, left_over, len(states) - len(sent_to) - left_over)


def _fits(build: Callable[[DeviceRegistration], Push], device: DeviceRegistration) -> bool:
    """There can be such a push: the ids of the call may be too long for one."""
    try:
        build(device)
    except PushTooLargeError:
        return False
    return True


class _ClaimKeeper:
    """What a fan-out needs instead of a lease: the claims are kept for ever, so a send is bounded by time
    alone."""

    send_until = float("inf")

    def __init__(
        self, states: CallStates, entry_id: str, kind: NoticeKind, devices: Sequence[DeviceRegistration]
    ) -> None:
        self._states = states
        self._entry_id = entry_id
        self._kind = kind
        self._keys = {device.registration_id: device.device_key for device in devices}
        self._unsaved: dict[str, NoticeState | None] = {}

    def prepare_send(self) -> bool:
        return True

    def note(self, registration_id: str, result: DeviceResult) -> None:
        self._unsaved[self._keys[registration_id]] = _state(result.outcome)

    def save(self) -> None:
        final = {key: state for key, state in self._unsaved.items() if state is not None}
        if final:
            self.settle(final)

    def settle(self, states: Mapping[str, NoticeState | None]) -> None:
        """Write down what became of the notices. A claim that stays keeps a notice from being sent twice."""
        self._unsaved.clear()
        try:
            self._states.settle(self._entry_id, self._kind, states)
        except (DatabaseUnavailableError, ConfigurationError) as error:
            telemetry.log(logging.WARNING, "notice_not_written", notice=self._kind.value, code=error.code)


_PASSING = frozenset({OutcomeKind.TRANSIENT, OutcomeKind.THROTTLED})


def _state(outcome: Outcome | None) -> NoticeState | None:
    """What is written of a notice; None where it cannot have arrived and may be sent again."""
    if outcome is None:
        return None
    if outcome.kind is OutcomeKind.ACCEPTED:
        return NoticeState.SENT
    if outcome.unanswered is not None:
        return NoticeState.UNKNOWN
    may_be_sent_again = outcome.kind in _PASSING or outcome.is_refused_as_misconfigured
    return None if may_be_sent_again else NoticeState.REFUSED
