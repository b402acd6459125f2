"""Places calls to users with registered phones."""

import base64
import json
import random
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from local import samples
from models.device import DeviceRegistration
from models.hub import DEFAULT_HUB
from models.identity import Identity
from models.platform import Platform
from models.push_subscription import PushSubscription
from registrar.store import DeviceStore

SECOND_HUB = "second"
_HUBS = (DEFAULT_HUB, DEFAULT_HUB, SECOND_HUB)
_PLATFORMS = (Platform.APPLE, Platform.FCM_V1, Platform.WINDOWS)
"""In the order of `samples.phones`."""


class Ending(Enum):
    """How a call ends while its phones ring."""

    ANSWERED = "answered"
    """On the first phone, which reports it; events say that the callee has joined and, later, the end."""
    DECLINED = "declined"
    """On the first phone, which reports it; an event says that the call has ended."""
    ENDED = "ended"
    """By the caller, which an event says."""


def ending_of(number: int) -> Ending | None:
    """Every fifth call is answered, every fifth declined, every tenth ended by the caller; the others go on
    ringing."""
    if number % 10 == 2:
        return Ending.ENDED
    return {0: Ending.ANSWERED, 1: Ending.DECLINED}.get(number % 5)


@dataclass(frozen=True, slots=True)
class Phone:
    """A registered phone, PC or browser."""

    handle: str = field(repr=False)
    """By which the hub knows it."""
    device_uuid: str
    platform: Platform


@dataclass(frozen=True, slots=True)
class Call:
    """One live call, and the phones that must ring."""

    callee: str
    event: dict[str, Any] = field(repr=False)
    phones: tuple[Phone, ...]
    ending: Ending | None = None

    @property
    def answering(self) -> Phone | None:
        """The phone on which the callee answers or declines."""
        return self.phones[0] if self.ending in {Ending.ANSWERED, Ending.DECLINED} else None


class Phones:
    """Every call has a user of its own with one to three phones, so that every push belongs to one call."""

    def __init__(self, store: DeviceStore, seed: int) -> None:
        """`store`: where the phones are registered, not through the app."""
        self._store = store
        self._random = random.Random(seed)  # noqa: S311 - not for cryptography
        self._placed = 0

    def place(self) -> Call:
        """Make a new user with phones and a call for them."""
        now = datetime.now(UTC)
        user = f"8:acs:{uuid.uuid4()}_{uuid.uuid4()}"
        expires = now.replace(microsecond=0) + timedelta(days=1)
        phones = []
        for number in range(self._random.choice((1, 1, 2, 3))):
            phone, token = self._phone(f"phone-{number}")
            hub = self._random.choice(_HUBS)
            registration = DeviceRegistration(
                Identity.parse(user), phone.device_uuid, token, phone.platform, expires, hub=hub
            )
            self._store.register(registration, now)
            phones.append(phone)
        event = samples.event_grid_event(samples.incoming_call_data(user))
        self._placed += 1
        return Call(user, event, tuple(phones), ending_of(self._placed))

    def _phone(self, device_uuid: str) -> tuple[Phone, str]:
        """A phone and its device token."""
        place = self._random.randrange(len(_PLATFORMS) + 1)
        if place == len(_PLATFORMS):
            subscription = _subscription()
            return Phone(subscription.endpoint, device_uuid, Platform.BROWSER), subscription.text
        token = samples.phones()[place].device_token
        return Phone(token, device_uuid, _PLATFORMS[place]), token


def _subscription() -> PushSubscription:
    """A browser's, with random keys."""
    p256dh = _base64url(b"\4" + secrets.token_bytes(64))
    keys = {"p256dh": p256dh, "auth": _base64url(secrets.token_bytes(16))}
    return PushSubscription.parse(
        json.dumps({"endpoint": f"https://push.example.com/{uuid.uuid4()}", "keys": keys})
    )


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode()
