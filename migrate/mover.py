"""Takes devices over, batch by batch. Never writes to the source, never overrules an app."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime
from itertools import batched
from typing import Any, Protocol

from common.clock import Clock
from migrate.adoption import Adoption
from migrate.memory import owner_hash
from migrate.report import Report
from migrate.source import Reason, Rules, UserDocument, read_document, skipped
from models.device import DeviceRegistration

_REASONS = {
    Adoption.REGISTERED_SINCE: Reason.TOKEN_REGISTERED_SINCE,
    Adoption.DEVICE_REGISTERED_SINCE: Reason.DEVICE_REGISTERED_SINCE,
}

Documents = Callable[[], Iterable[Mapping[str, Any]]]
"""The source, which can be read from the start more than once."""

Adopt = Callable[[DeviceRegistration, datetime], Adoption]
"""Adopts one registration, or foresees what adopting it would come to; called from several threads."""


class Remembrance(Protocol):
    """What earlier runs have dealt with."""

    def owners(self, registration_ids: Sequence[str]) -> Mapping[str, str]:
        """Whose each token was; tokens never seen are left out."""
        ...

    def remember(self, owners: Mapping[str, str], now: datetime) -> None:
        """Add some."""
        ...


class Mover:
    """One run: a survey of the whole source, then the move."""

    def __init__(self, adopt: Adopt, memory: Remembrance, pool: Executor, clock: Clock, rules: Rules) -> None:
        """Take ready collaborators."""
        self._adopt = adopt
        self._memory = memory
        self._pool = pool
        self._clock = clock
        self._rules = rules
        self._last_owner: dict[bytes, bytes] = {}

    def survey(self, documents: Documents, advance: Callable[[], object]) -> int:
        """Find out under whom each token comes last. Takes about 200 bytes of memory a device.

        Returns:
            How many documents there are.
        """
        count = 0
        for user in self._read(documents):
            for found in user.found:
                self._last_owner[_token_key(found)] = _user_key(found)
            count += 1
            advance()
        return count

    def move(
        self, documents: Documents, batch_size: int, report: Report, advance: Callable[[int], object]
    ) -> None:
        """Take over what can be; `report` says at any moment how far it has come.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it broke off; a later run goes on.
        """
        for batch in batched(self._read(documents), batch_size, strict=False):
            self._move(batch, report)
            advance(len(batch))
        report.finished = True

    def _read(self, documents: Documents) -> Iterator[UserDocument]:
        for document in documents():
            yield read_document(document, self._rules, self._clock.now())

    def _move(self, batch: Sequence[UserDocument], report: Report) -> None:
        candidates: dict[str, DeviceRegistration] = {}
        for user in batch:
            report.users += 1
            report.devices += user.entries
            report.skip(user.skipped)
            for found in user.found:
                if self._comes_last(found):
                    candidates[found.registration_id] = found
                else:
                    report.skip([skipped(found, Reason.SHARED_TOKEN)])
        known = self._memory.owners(list(candidates))
        owners = {name: owner_hash(one.acs_mri, one.device_uuid) for name, one in candidates.items()}
        new = {name: one for name, one in candidates.items() if known.get(name) != owners[name]}
        report.already_taken_over += len(candidates) - len(new)
        outcomes = list(self._pool.map(lambda one: self._adopt(one, self._clock.now()), new.values()))
        # After the adoptions: dying in between has them made again, the other way round it would lose them.
        self._memory.remember({name: owners[name] for name in new}, self._clock.now())
        for found, outcome in zip(new.values(), outcomes, strict=True):
            self._count(found, outcome, report)

    def _comes_last(self, found: DeviceRegistration) -> bool:
        """False if the survey has seen the token under another user later on."""
        user = _user_key(found)
        return self._last_owner.get(_token_key(found), user) == user

    def _count(self, found: DeviceRegistration, outcome: Adoption, report: Report) -> None:
        if outcome is Adoption.TAKEN_OVER:
            report.taken_over += 1
            report.shortened += self._rules.life_seconds(found.acs_mri) < self._rules.ttl_seconds
        else:
            report.skip([skipped(found, _REASONS[outcome])])


def _token_key(found: DeviceRegistration) -> bytes:
    """Enough of a hash to tell tokens apart, and small."""
    return bytes.fromhex(found.registration_id)[:16]


def _user_key(found: DeviceRegistration) -> bytes:
    return bytes.fromhex(owner_hash(found.acs_mri, ""))[:8]
