"""Takes devices over. Never writes to the source, and never overrules an app."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future
from datetime import datetime
from itertools import batched
from typing import Any

from migrate.adoption import Adoption
from migrate.earlier_runs import EarlierRuns, owner_hash
from migrate.patience import Patience
from migrate.report import Report
from migrate.sample_documents import Reason, Rules, UserDocument, read_document, skipped
from models.device import DeviceRegistration
from models.errors import ServiceError

_REASONS = {
    Adoption.REGISTERED_SINCE: Reason.TOKEN_REGISTERED_SINCE,
    Adoption.DEVICE_REGISTERED_SINCE: Reason.DEVICE_REGISTERED_SINCE,
}

Documents = Callable[[], Iterable[Mapping[str, Any]]]
"""The source, which can be read from the start more than once."""

Adopt = Callable[[DeviceRegistration, datetime], Adoption]
"""Adopts one registration, or foresees what adopting it would come to; called from several threads."""


class Mover:
    """One run: it surveys the whole source, then it takes devices over."""

    def __init__(
        self,
        adopt: Adopt,
        earlier: EarlierRuns,
        pool: Executor,
        patience: Patience,
        rules: Rules,
    ) -> None:
        """Take ready collaborators."""
        self._adopt = adopt
        self._earlier = earlier
        self._pool = pool
        self._patience = patience
        self._clock = patience.clock
        self._rules = rules
        self._last_owner: dict[bytes, bytes] = {}

    def survey(self, documents: Documents, advance: Callable[[], object]) -> int:
        """Find out under which user each token comes last. Takes about 200 bytes of memory a device.

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
        """Take a batch over. What was done before a failure is recorded and counted."""
        candidates: dict[str, DeviceRegistration] = {}
        for user in batch:
            for found in user.found:
                if self._comes_last(found):
                    candidates[found.registration_id] = found
        known = self._patience.run(lambda: self._earlier.owners(list(candidates)))
        owners = {name: owner_hash(one.acs_mri, one.device_uuid) for name, one in candidates.items()}
        new = {name: one for name, one in candidates.items() if known.get(name) != owners[name]}
        outcomes, failure = self._adopt_all(new)
        # After the adoptions: a run that dies in between repeats them; the other way round it would lose
        # them.
        self._patience.run(
            lambda: self._earlier.record({name: owners[name] for name in outcomes}, self._clock.now())
        )
        for user in batch:
            self._count(user, candidates, new, outcomes, report)
        if failure is not None:
            raise failure

    def _adopt_all(
        self, registrations: Mapping[str, DeviceRegistration]
    ) -> tuple[Mapping[str, Adoption], ServiceError | None]:
        """The outcomes, and the failure for which some are missing."""
        outcomes: dict[str, Adoption] = {}
        failure: ServiceError | None = None
        pending: dict[str, Future[Adoption]] = {
            name: self._pool.submit(self._adopt_one, one) for name, one in registrations.items()
        }
        try:
            for name, future in pending.items():
                try:
                    outcomes[name] = future.result()
                except CancelledError:
                    continue  # not begun
                except ServiceError as error:
                    failure = error
                    # Each of those that have not begun would be tried for as long as this one.
                    _cancel(pending.values())
        except KeyboardInterrupt:
            _cancel(pending.values())
            self._patience.stop()
            raise
        return outcomes, failure

    def _adopt_one(self, registration: DeviceRegistration) -> Adoption:
        return self._patience.run(lambda: self._adopt(registration, self._clock.now()))

    def _comes_last(self, found: DeviceRegistration) -> bool:
        """Whether the survey saw the token under no other user later on."""
        user = _user_key(found)
        return self._last_owner.get(_token_key(found), user) == user

    def _count(
        self,
        user: UserDocument,
        candidates: Mapping[str, DeviceRegistration],
        new: Mapping[str, DeviceRegistration],
        outcomes: Mapping[str, Adoption],
        report: Report,
    ) -> None:
        """Count a user whose devices have all been dealt with, and every device that has been."""
        complete = True
        for found in user.found:
            name = found.registration_id
            if candidates.get(name) is not found:
                report.skip([skipped(found, Reason.SHARED_TOKEN)])
            elif name not in new:
                report.already_taken_over += 1
            elif name in outcomes:
                self._count_outcome(found, outcomes[name], report)
            else:
                complete = False
        if complete:
            report.users += 1
            report.devices += user.entries
            report.skip(user.skipped)

    def _count_outcome(self, found: DeviceRegistration, outcome: Adoption, report: Report) -> None:
        if outcome is Adoption.TAKEN_OVER:
            report.taken_over += 1
            report.shortened += self._rules.life_seconds(found.acs_mri) < self._rules.ttl_seconds
        else:
            report.skip([skipped(found, _REASONS[outcome])])


def _cancel(pending: Iterable[Future[Adoption]]) -> None:
    """Cancel those that have not begun."""
    for future in pending:
        future.cancel()


def _token_key(found: DeviceRegistration) -> bytes:
    """Enough of a hash to distinguish tokens."""
    return bytes.fromhex(found.registration_id)[:16]


def _user_key(found: DeviceRegistration) -> bytes:
    return bytes.fromhex(owner_hash(found.acs_mri, ""))[:8]
