"""Hand-written stand-ins: a clock that stands still and a device store in memory."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from common.telemetry import LOGGER_NAME
from models.device import DeviceRegistration, Platform
from models.errors import RegistrationNotFoundError

# Far ahead, so that no database's own clock finds a test's documents expired.
NOW = datetime(2100, 1, 31, 12, 0, 0, tzinfo=UTC)

ALICE = "8:acs:resource_alice"
BOB = "8:acs:resource_bob"
TEAMS_USER = "8:orgid:teams-user"


class FakeClock:
    """A clock that moves only when it is told to, or when somebody sleeps."""

    def __init__(self, now: datetime = NOW) -> None:
        self._start = now
        self._elapsed = 0.0

    def now(self) -> datetime:
        """The time at the start plus what has gone by since."""
        return self._start + timedelta(seconds=self._elapsed)

    def unix(self) -> float:
        """The same as Unix time, seconds."""
        return self.now().timestamp()

    def monotonic(self) -> float:
        """Seconds since the start."""
        return self._elapsed

    def sleep(self, seconds: float) -> None:
        """Let time go by at once."""
        self._elapsed += seconds


class InMemoryDeviceStore:
    """A device store in a dictionary; `error`, if set, is raised by every method."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._documents: dict[str, tuple[datetime, DeviceRegistration]] = {}

    def register(
        self, registration: DeviceRegistration, now: datetime, maximum_devices: int | None = None
    ) -> Sequence[str]:
        """Add, refresh or move a token; older tokens of the same device go, and so do devices too many."""
        self._fail()
        stale = [
            key
            for key, (updated, known) in self._documents.items()
            if (known.acs_mri, known.device_uuid) == (registration.acs_mri, registration.device_uuid)
            and updated < now
        ]
        for key in stale:
            del self._documents[key]
        self._documents[registration.registration_id] = (now, registration)
        if maximum_devices is None:
            return []
        latest = {
            known.device_uuid: updated
            for updated, known in sorted(self._documents.values(), key=lambda entry: entry[0])
            if known.acs_mri == registration.acs_mri and known.expires_at > now
        }
        surplus = sorted(latest, key=lambda uuid: latest[uuid], reverse=True)[maximum_devices:]
        for device_uuid in surplus:
            self.delete(registration.acs_mri, device_uuid, now)
        return surplus

    def devices_of(self, acs_mri: str, now: datetime) -> Sequence[DeviceRegistration]:
        """The unexpired ones, the newest of each device, by device UUID."""
        self._fail()
        newest: dict[str, DeviceRegistration] = {}
        for _, key in sorted((updated, key) for key, (updated, _) in self._documents.items()):
            known = self._documents[key][1]
            if known.acs_mri == acs_mri and known.expires_at > now:
                newest[known.device_uuid] = known
        return [newest[uuid] for uuid in sorted(newest)]

    def delete(self, acs_mri: str, device_uuid: str, now: datetime) -> None:
        """Forget an unexpired device."""
        self._fail()
        gone = [
            key
            for key, (_, known) in self._documents.items()
            if (known.acs_mri, known.device_uuid) == (acs_mri, device_uuid) and known.expires_at > now
        ]
        if not gone:
            raise RegistrationNotFoundError("no such device")
        for key in gone:
            del self._documents[key]

    def delete_all(self, acs_mri: str) -> int:
        """Forget every device of a user."""
        self._fail()
        gone = [key for key, (_, known) in self._documents.items() if known.acs_mri == acs_mri]
        for key in gone:
            del self._documents[key]
        return len(gone)

    def forget(self, registration: DeviceRegistration) -> None:
        """Delete a registration unless its token belongs to another user by now."""
        self._fail()
        known = self._documents.get(registration.registration_id)
        if known is not None and known[1].acs_mri == registration.acs_mri:
            del self._documents[registration.registration_id]

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


def registration(
    acs_mri: str = ALICE,
    device_uuid: str = "phone",
    device_token: str = "token-1",
    platform: Platform = Platform.APPLE,
    expires_at: datetime = NOW + timedelta(days=1),
) -> DeviceRegistration:
    """A registration with one thing changed."""
    return DeviceRegistration(acs_mri, device_uuid, device_token, platform, expires_at)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class AppLog:
    """What the app wrote to its log."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        self._records = records

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(record.getMessage() for record in self._records)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The fields of the lines of one event, with `level` added."""
        lines = [(record.levelname, json.loads(record.getMessage())) for record in self._records]
        return [{**fields, "level": level} for level, fields in lines if fields["event"] == name]


@contextmanager
def app_log() -> Iterator[AppLog]:
    """Listen to the app's log."""
    handler = _Lines()
    logger = logging.getLogger(LOGGER_NAME)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield AppLog(handler.records)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
