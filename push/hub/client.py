"""One Direct Send request → one outcome. No loop, no database.

Wire: Notification Hubs REST, "Direct Send". What the answers mean, see `_MEANINGS`.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from requests.exceptions import InvalidHeader
from requests.utils import check_header_validity

from models.push import Outcome, OutcomeKind, Push
from push.hub.sas import SasTokenSource
from push.hub.wire import Answer, NoAnswerError, UnreachableError, WireError
from push.retry import retry_after_seconds


class Wire(Protocol):
    """All that the client wants to know of the network."""

    @property
    def longest_send_seconds(self) -> float:
        """How long one `post` can take."""
        ...

    def post(self, body: bytes, headers: Mapping[str, str], time_left: float) -> Answer:
        """Send once, and be back in time; WireError where the network fails."""
        ...


_MEANINGS: Mapping[int, tuple[OutcomeKind, str]] = {
    201: (OutcomeKind.ACCEPTED, "queued by the hub"),
    400: (OutcomeKind.REJECTED, "the hub calls the push malformed"),
    401: (
        OutcomeKind.MISCONFIGURED,
        "the key is wrong or lacks the Send right: compare ANHHubConnectionString with the hub's policies",
    ),
    403: (OutcomeKind.MISCONFIGURED, "the key lacks the Send right: use a policy with Send"),
    404: (OutcomeKind.MISCONFIGURED, "there is no such hub: check ANHHubName and the namespace"),
    # Not waited out within the request's own time, but asked for by the service.
    408: (OutcomeKind.TRANSIENT, "the hub timed out"),
    # Not documented for Direct Send; what it says elsewhere is that the handle is dead.
    410: (OutcomeKind.GONE, "the device is gone"),
    413: (OutcomeKind.REJECTED, "the hub calls the push too large"),
    429: (OutcomeKind.THROTTLED, "the hub is throttling"),
}

_BOTH_KEYS_ARE_WRONG = (
    "both keys are wrong: compare ANHHubConnectionString and ANHHubConnectionStringSecondary with the hub's "
    "policies"
)

DEFAULT_THROTTLE_SECONDS = 10.0
"""How long a throttled sender stays away where the hub does not say."""


def meaning(status: int, *, says_when: bool) -> tuple[OutcomeKind, str]:
    """What an answer of the hub stands for.

    Args:
        status: the HTTP status.
        says_when: True if it had a `Retry-After`, readable or not.
    """
    if status == 403 and says_when:
        return OutcomeKind.THROTTLED, "the hub is throttling"
    if known := _MEANINGS.get(status):
        return known
    if 200 <= status < 300:
        return OutcomeKind.ACCEPTED, "accepted by the hub"
    if status >= 500:
        return OutcomeKind.TRANSIENT, "the hub has a passing fault"
    if 300 <= status < 400:
        return OutcomeKind.MISCONFIGURED, "something redirects the hub's URL: check ANHHubUrl"
    return OutcomeKind.REJECTED, "the hub refuses the push"


class HubClient:
    """Sends pushes to single devices of one hub. Safe to share between threads."""

    def __init__(
        self,
        wire: Wire,
        tokens: SasTokenSource,
        clock: Callable[[], float],
        secondary_tokens: SasTokenSource | None = None,
    ) -> None:
        """Take ready collaborators.

        Args:
            wire: posts to the hub.
            tokens: SAS tokens for the hub.
            clock: tells Unix time in seconds.
            secondary_tokens: SAS tokens of another key, for when the hub refuses the first.
        """
        self._wire = wire
        self._tokens = tokens
        self._secondary_tokens = secondary_tokens
        self._clock = clock

    @property
    def longest_send_seconds(self) -> float:
        """How long one send can take."""
        return self._wire.longest_send_seconds

    def send(self, push: Push, device_token: str, time_left: float) -> Outcome:
        """Send `push` to one device, once; every answer and every failure of the network is an outcome.

        Args:
            push: what to send.
            device_token: whom to send it to.
            time_left: seconds by which to be back at the latest, whatever the time-outs.
        """
        if not _is_header_value(device_token):
            return Outcome(OutcomeKind.REJECTED, "the device token is none that a platform issues")
        started = self._clock()
        outcome = self._send(push, device_token, self._tokens.token(), time_left)
        if outcome.status != 401 or self._secondary_tokens is None:
            return outcome
        # Both tries together take no longer than one may.
        left = min(time_left, self.longest_send_seconds) - (self._clock() - started)
        second = self._send(push, device_token, self._secondary_tokens.token(), left)
        reason = _BOTH_KEYS_ARE_WRONG if second.status == 401 else second.reason
        return replace(second, reason=reason, used_secondary_key=True)

    def _send(self, push: Push, device_token: str, authorization: str, time_left: float) -> Outcome:
        tracking_id = str(uuid.uuid4())
        headers = {
            "User-Agent": "acs-call-push",
            "Authorization": authorization,
            "Content-Type": push.content_type,
            "ServiceBusNotification-Format": push.format,
            "ServiceBusNotification-DeviceHandle": device_token,
            "TrackingId": tracking_id,
            **dict(push.headers),
        }
        try:
            return self._outcome(self._wire.post(push.body, headers, time_left), tracking_id)
        except UnreachableError:
            return Outcome(OutcomeKind.TRANSIENT, "the hub cannot be reached", tracking_id=tracking_id)
        except NoAnswerError:
            return Outcome(
                OutcomeKind.TRANSIENT,
                "the hub did not answer in time",
                tracking_id=tracking_id,
                may_have_rung=True,
            )
        except WireError:
            return Outcome(
                OutcomeKind.TRANSIENT, "the connection to the hub was lost", tracking_id=tracking_id
            )

    def _outcome(self, answer: Answer, tracking_id: str) -> Outcome:
        retry_after = answer.headers.get("Retry-After")
        wait = retry_after_seconds(retry_after, self._clock())
        kind, reason = meaning(answer.status, says_when=retry_after is not None)
        if kind is OutcomeKind.THROTTLED and wait is None:
            wait = DEFAULT_THROTTLE_SECONDS
        return Outcome(
            kind,
            reason,
            status=answer.status,
            tracking_id=answer.headers.get("TrackingId", tracking_id),
            retry_after_seconds=wait,
        )


def _is_header_value(device_token: str) -> bool:
    try:
        device_token.encode("latin-1")
        check_header_validity(("ServiceBusNotification-DeviceHandle", device_token))
    except (UnicodeEncodeError, InvalidHeader):
        return False
    return True
