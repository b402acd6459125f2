"""One Direct Send request → one outcome. No loop, no database."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from common.clock_watch import ClockWatch
from models.device_token import problem_of
from models.hub import HubEndpoint, HubSettingNames
from models.platform import Platform
from models.push import UNUSABLE_TOKEN, Outcome, OutcomeKind, Push
from models.push_subscription import PushSubscription
from push.hub.answers import (
    DEFAULT_THROTTLE_SECONDS,
    Answer,
    Meaning,
    NoAnswer,
    detail_of,
    meaning_of,
    notification_id,
    retry_after_seconds,
)
from push.hub.connection import Request
from push.hub.sas import SasTokenSource
from push.hub.wire import HubWire
from push.side_by_side import Work, perform

_LONGEST_TRACKING_ID = 100


class HubClient:
    """Sends pushes to single devices of one hub. Safe to share between threads."""

    def __init__(
        self,
        endpoint: HubEndpoint,
        wire: HubWire,
        tokens: Sequence[SasTokenSource],
        clock: Callable[[], float],
        clock_watch: ClockWatch,
    ) -> None:
        """Take ready collaborators.

        Args:
            endpoint: of the hub.
            wire: the connections to it.
            tokens: SAS tokens for the hub: of its key and, if there is one, of its secondary key.
            clock: tells Unix time in seconds.
            clock_watch: is told the time that each answer shows.
        """
        self.settings = HubSettingNames.of(endpoint.hub)
        self._endpoint = endpoint
        self._url = endpoint.direct_send_url
        self._wire = wire
        self._tokens, *self._secondary_tokens = tokens
        self._clock = clock
        self._clock_watch = clock_watch

    def sending(
        self, push: Push, device_token: str, time_left: float, *, fresh_connection: bool = False
    ) -> Work[Outcome]:
        """The sending of a push to one device, once: every answer and failure of the network is an outcome.

        Args:
            push: what to send.
            device_token: the device to send it to.
            time_left: seconds in which to be back, whatever the time-outs.
            fresh_connection: use a new connection, because an earlier try has failed.
        """
        if problem := problem_of(Platform(push.format), device_token):
            # It was registered before tokens were checked; the hub would refuse it.
            return Outcome(OutcomeKind.REJECTED, f"the device token {problem}", code=UNUSABLE_TOKEN)
        started = self._wire.monotonic()
        token = self._tokens.token()
        outcome = yield from self._sending(push, device_token, token, time_left, fresh=fresh_connection)
        if outcome.status != 401 or not self._secondary_tokens:
            return outcome
        # Both sends together take no longer than one may.
        left = min(time_left, self._wire.timeouts.exchange) - (self._wire.monotonic() - started)
        token = self._secondary_tokens[0].token()
        second = yield from self._sending(push, device_token, token, left, fresh=True)
        reason = self._both_keys_are_wrong if second.status == 401 else second.reason
        return replace(second, reason=reason, used_secondary_key=True)

    @property
    def _both_keys_are_wrong(self) -> str:
        names = f"{self.settings.connection_string} and {self.settings.secondary}"
        return f"both keys are wrong: compare {names} with the hub's policies"

    @property
    def address(self) -> str:
        """Where the hub takes messages."""
        return self._endpoint.messages_url

    def feedback(self, time_left: float) -> Answer | NoAnswer:
        """Ask which container has the feedback of the platforms; its URL is a secret.

        Args:
            time_left: seconds in which to be back.
        """
        reply = self._ask_for_feedback(self._tokens, time_left)
        if isinstance(reply, Answer) and reply.status == 401 and self._secondary_tokens:
            reply = self._ask_for_feedback(self._secondary_tokens[0], time_left)
        return reply

    def _ask_for_feedback(self, tokens: SasTokenSource, time_left: float) -> Answer | NoAnswer:
        request = Request(self._endpoint.feedback_url, {"Authorization": tokens.token()})
        return perform(self._exchange(request, time_left, fresh=False))

    def problem(self, time_left: float) -> str | None:
        """Why pushes cannot get as far as the hub; None if they can.

        It asks for the root of the hub's namespace, without a key: this sends no push and costs nothing. Any
        answer will do, as it shows that name, proxy, certificate and connection are right.

        Args:
            time_left: seconds in which to be back.
        """
        reply = perform(self._exchange(Request(self._endpoint.root_url), time_left, fresh=False))
        return meaning_of(reply, self.settings).reason if isinstance(reply, NoAnswer) else None

    def _sending(
        self, push: Push, device_token: str, authorization: str, time_left: float, *, fresh: bool
    ) -> Work[Outcome]:
        tracking_id = str(uuid.uuid4())
        target = _target(push, device_token)
        headers = {
            "Authorization": authorization,
            "Content-Type": push.content_type,
            "ServiceBusNotification-Format": push.format,
            "ServiceBusNotification-DeviceHandle": target.handle,
            "TrackingId": tracking_id,
            **target.headers,
            **dict(push.headers),
        }
        reply = yield from self._exchange(Request(self._url, headers, push.body), time_left, fresh=fresh)
        meaning = meaning_of(reply, self.settings)
        if isinstance(reply, NoAnswer):
            return Outcome(
                meaning.kind, meaning.reason, tracking_id=tracking_id, unanswered=meaning.unanswered
            )
        return Outcome(
            meaning.kind,
            _reason(meaning, reply, secrets=(authorization, target.handle, *target.headers.values())),
            status=reply.status,
            tracking_id=reply.headers.get("trackingid", tracking_id)[:_LONGEST_TRACKING_ID],
            retry_after_seconds=self._retry_after(meaning, reply),
            notification_id=notification_id(reply.headers.get("location")),
        )

    def _retry_after(self, meaning: Meaning, answer: Answer) -> float | None:
        seconds = retry_after_seconds(answer.headers.get("retry-after"), self._clock())
        if seconds is None and meaning.kind is OutcomeKind.THROTTLED:
            return DEFAULT_THROTTLE_SECONDS
        return seconds

    def _exchange(self, request: Request, time_left: float, *, fresh: bool) -> Work[Answer | NoAnswer]:
        began = self._clock()
        exchange = self._wire.begin(request, time_left, fresh_connection=fresh)
        reply = exchange if isinstance(exchange, NoAnswer) else (yield exchange)
        if isinstance(reply, Answer):
            self._clock_watch.compare(reply.headers.get("date"), began, self._clock())
        return reply


@dataclass(frozen=True, slots=True)
class _Target:
    """How a request names the device."""

    handle: str
    headers: Mapping[str, str] = field(default_factory=dict)


def _target(push: Push, device_token: str) -> _Target:
    if push.format != Platform.BROWSER.value:
        return _Target(device_token)
    # A browser's token is its whole subscription. Names of the headers: Notification Hubs, "Web push".
    subscription = PushSubscription.parse(device_token)
    return _Target(subscription.endpoint, {"P256DH": subscription.p256dh, "Auth": subscription.auth})


def _reason(meaning: Meaning, answer: Answer, secrets: Sequence[str]) -> str:
    if meaning.kind is OutcomeKind.ACCEPTED:
        return meaning.reason
    detail = detail_of(answer.body, secrets)
    return f"{meaning.reason}; the hub says: {detail}" if detail else meaning.reason
