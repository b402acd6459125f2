"""The phones of the page (pure): registrations of one device, what it received, and its calls."""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from local.page.phone_calls import OPEN, Action, CallOver, PhoneCall, phone_calls
from local.page.pushes import Message, read_push
from local.page.sources import Reading
from models.device import DeviceRegistration
from models.platform import Platform
from models.push_subscription import PushSubscription

NAMES = {
    Platform.APPLE: "iPhone",
    Platform.FCM_V1: "Android phone",
    Platform.WINDOWS: "Windows PC",
    Platform.BROWSER: "browser",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """What the user of a phone did with a call, and when (Unix seconds)."""

    action: Action
    at: float


type Actions = Mapping[tuple[str, str], Taken]
"""By phone id and call id."""


@dataclass(frozen=True, slots=True)
class Phone:
    """A device with its registrations: an iPhone has one for calls and one for alerts."""

    id: str
    platform: Platform
    user: str
    device_uuid: str
    registrations: tuple[DeviceRegistration, ...]
    messages: tuple[Message, ...]
    """What was sent to it, oldest first."""
    calls: tuple[PhoneCall, ...]
    """The newest last."""
    is_uninstalled: bool
    """Its app has been removed, so that nothing arrives any more."""

    @property
    def name(self) -> str:
        """What kind of device it is."""
        return NAMES.get(self.platform, self.platform.value)

    @property
    def on_screen(self) -> PhoneCall | None:
        """The call that can be answered, else the one that has been, else the newest."""
        for wanted in (OPEN, frozenset({Action.ANSWERED})):
            found = [call for call in self.calls if call.state in wanted]
            if found:
                return found[-1]
        return self.calls[-1] if self.calls else None

    @property
    def notification(self) -> Message | None:
        """The visible notification that came last."""
        shown = [call.notification for call in self.calls if call.notification is not None]
        return max(shown, key=lambda message: message.sequence, default=None)


def handle_of(registration: DeviceRegistration) -> str:
    """How a request to the hub names the device: a browser's token is its whole subscription."""
    if registration.platform is not Platform.BROWSER:
        return registration.device_token
    try:
        return PushSubscription.parse(registration.device_token).endpoint
    except ValueError:
        return registration.device_token


def phones_of(
    reading: Reading, actions: Actions, over: Mapping[str, CallOver], now: float
) -> tuple[Phone, ...]:
    """The phones in the order of the registrations.

    Args:
        reading: registrations and pushes.
        actions: what their users did.
        over: the calls that ring no more, by call id.
        now: Unix seconds.
    """
    received: dict[str, list[Message]] = defaultdict(list)
    for push in reading.pushes:
        received[push.device_handle].append(read_push(push))
    of_device: dict[str, list[DeviceRegistration]] = defaultdict(list)
    for registration in reading.registrations:
        of_device[registration.device_key].append(registration)
    phones = []
    for device, registrations in of_device.items():
        messages = sorted(
            (message for one in registrations for message in received.get(handle_of(one), ())),
            key=lambda message: message.sequence,
        )
        own = {call_id: taken.action for (phone, call_id), taken in actions.items() if phone == device}
        is_connected = registrations[0].platform is Platform.APPLE
        calls = phone_calls(messages, own, over, now, is_connected=is_connected)
        phones.append(_phone(registrations, messages, calls, reading.dead_tokens))
    return tuple(phones)


def _phone(
    registrations: Sequence[DeviceRegistration],
    messages: Sequence[Message],
    calls: Sequence[PhoneCall],
    dead: Set[str],
) -> Phone:
    first = registrations[0]
    return Phone(
        id=first.device_key,
        platform=first.platform,
        user=first.acs_mri,
        device_uuid=first.device_uuid,
        registrations=tuple(registrations),
        messages=tuple(messages),
        calls=tuple(calls),
        is_uninstalled=any(handle_of(one) in dead for one in registrations),
    )
