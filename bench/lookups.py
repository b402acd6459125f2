"""How long the device store takes with few and with many registrations, side by side in one database.

`devices_of` and `register` find their documents by an index (`acsMri`, `_id`). What the embedded database
scans in full where a real MongoDB does not (`find_one_and_update`, `$or` on `_id`), the store does not use;
its sweep of expired documents is kept out.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection

from app import App
from bench.experiment import Bench, BenchError, MeasuredApp
from bench.population import Crowd, write_registrations
from bench.remote import Remote
from bench.samples import Sample
from models.device import DeviceRegistration
from models.identity import Identity
from models.platform import Platform
from registrar.store import COLLECTION_NAME, DeviceStore

EXPERIMENT = "lookups"
LOOK_UP = "look up, ms"
REFRESH = "register again, ms"


def case(registrations: int) -> str:
    """Its name."""
    return f"{registrations:,} registrations"


@dataclass(frozen=True, slots=True)
class Look:
    """An order: so many of each in a database of that size, `fill` it first."""

    registrations: int
    count: int
    fill: bool = False


Times = dict[str, tuple[float, ...]]
"""Seconds by metric."""


class LookupService:
    """A store for every size, each in a logical database of its own."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """`settings` are the app's."""
        self._settings = settings
        self._client: MongoClient[dict[str, Any]] = MongoClient(settings["MongoDbConnectionString"])
        self._stores: dict[str, DeviceStore] = {}

    def answer(self, order: Look) -> Times:
        """Fill, or look up users at random, one after the other."""
        crowd = Crowd("lookups", order.registrations)
        name = f"lookups-{order.registrations}"
        store = self._store(name)
        if order.fill:
            self._fill(store, self._client[name][COLLECTION_NAME], crowd)
        users = [crowd.mri(random.randrange(crowd.users)) for _ in range(order.count)]  # noqa: S311
        found: list[DeviceRegistration] = []
        looked_up = tuple(_timed(partial(_look_up, store, user, found)) for user in users)
        refreshed = tuple(_timed(partial(_refresh, store, one)) for one in found)
        return {LOOK_UP: looked_up, REFRESH: refreshed}

    @staticmethod
    def _fill(store: DeviceStore, collection: Collection[dict[str, Any]], crowd: Crowd) -> None:
        # The first registration makes the indexes. The one for the expiry goes again: where nothing expires,
        # MongoDB's sweep looks at one key of it a minute, the embedded database's at every document, and at a
        # million of them it stands still for twenty seconds meanwhile.
        (first,) = Crowd("first", 1).registrations()
        store.register(first, datetime.now(UTC))
        collection.drop_index("expiresAt_1")
        write_registrations(collection, crowd.registrations())

    def _store(self, name: str) -> DeviceStore:
        """The app's store, as `app.py` puts it together."""
        if name not in self._stores:
            clients = App({**self._settings, "DbName": name})
            self._stores[name] = clients.device_store
        return self._stores[name]


def measure(bench: Bench) -> Iterator[Sample]:
    """Yield the samples; each round goes through all sizes."""
    sizes, rounds = bench.sizes.registrations, bench.sizes.lookup_rounds
    done = bench.step(f"Lookups, up to {max(sizes):,} registrations", len(sizes) + rounds)
    with Remote(partial(LookupService, bench.services.environment())) as remote:
        for size in sizes:
            remote.ask(Look(size, bench.sizes.lookups, fill=True))
            done()
        for number in range(rounds):
            for size in sizes:
                for metric, seconds in remote.ask(Look(size, bench.sizes.lookups)).items():
                    milliseconds = tuple(1_000 * one for one in seconds)
                    yield Sample(EXPERIMENT, case(size), MeasuredApp.OURS, metric, number, milliseconds)
            done()


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _look_up(store: DeviceStore, user: str, found: list[DeviceRegistration]) -> None:
    devices = store.devices_of(Identity.parse(user), datetime.now(UTC))
    if len(devices) != 1 or devices[0].platform is not Platform.APPLE:
        raise BenchError(f"{len(devices)} devices where one was registered")
    found.extend(devices)


def _refresh(store: DeviceStore, registration: DeviceRegistration) -> None:
    store.register(registration, datetime.now(UTC))
