"""Places calls to users with registered phones."""

import random
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from local import samples
from models.device import DeviceRegistration
from models.identity import Identity
from models.platform import Platform
from registrar.store import DeviceStore

_PLATFORMS = (Platform.APPLE, Platform.FCM_V1, Platform.WINDOWS)
"""In the order of `samples.phones`."""


@dataclass(frozen=True, slots=True)
class Call:
    """One live call: its event, and the tokens of the phones that must ring."""

    event: dict[str, Any] = field(repr=False)
    tokens: tuple[str, ...] = field(repr=False)


class Phones:
    """Every call has a user of its own with one to three phones, so that every push belongs to one call."""

    def __init__(self, store: DeviceStore, seed: int) -> None:
        """`store`: where the phones are registered, not through the app."""
        self._store = store
        self._random = random.Random(seed)  # noqa: S311 - not for cryptography

    def place(self) -> Call:
        """Make a new user with phones and a call for them."""
        now = datetime.now(UTC)
        user = f"8:acs:{uuid.uuid4()}_{uuid.uuid4()}"
        expires = now.replace(microsecond=0) + timedelta(days=1)
        tokens = []
        for number in range(self._random.choice((1, 1, 2, 3))):
            place = self._random.randrange(len(_PLATFORMS))
            token = samples.phones()[place].device_token
            phone = DeviceRegistration(
                Identity.parse(user), f"phone-{number}", token, _PLATFORMS[place], expires
            )
            self._store.register(phone, now)
            tokens.append(token)
        return Call(samples.event_grid_event(samples.incoming_call_data(user)), tuple(tokens))
