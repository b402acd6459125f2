"""What the tests of a sign-in with a token share: an identity endpoint, a database that takes its tokens, and
instances of the app over both."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from local.database import EmbeddedDatabase
from local.hub.running_hub import RunningHub
from models.errors import ServiceError
from models.identity import Identity
from tests.fakes import AppLog, ShiftedClock
from tests.faults import CLIENT_ID, IdentityEndpoint, OidcProxy, port_of
from tests.integration.fault_rows import Played
from tests.rig import Instance, call_to, new_user

OTHER_ID = "0c5fd6f1-0000-4000-8000-0000000000bb"

_TOKEN_BEGINS = "eyJhbGciOi"
"""Of every token: the header is the same."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of a piece of work with the database."""

    code: str
    """Of the error; empty for none."""
    reason: str
    seconds: float
    """That it took."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A protected database, where it gets its tokens, and an instance that reaches the same data without a
    sign-in."""

    hub: RunningHub
    near: Instance
    database: OidcProxy
    endpoint: IdentityEndpoint
    log: AppLog
    clock: ShiftedClock = field(default_factory=ShiftedClock)
    """Of the instances of `app`."""

    @contextmanager
    def app(self, settings: Mapping[str, str] | None = None, *, uri: str | None = None) -> Iterator[Instance]:
        """A new instance, before its first sign-in."""
        with Instance(
            self.hub,
            uri or self.database.uri(),
            settings,
            database_name=self.near.database_name,
            clock=self.clock,
            observer_uri=self.near.uri,
        ) as app:
            yield app

    def new_call(self, app: Instance) -> Played:
        """A call to a new user with two devices."""
        devices = self.near.register(user := new_user(), 2)
        return Played(app, call_to(user, time=self.clock.now()), devices)

    def look_up(self, app: Instance) -> Outcome:
        """Do a piece of work with the database."""
        began = self.clock.monotonic()
        code = reason = ""
        try:
            app.app.device_store.devices_of(Identity.parse(new_user()), self.clock.now())
        except ServiceError as error:
            code, reason = error.code, str(error)
        return Outcome(code, reason, self.clock.monotonic() - began)


@pytest.fixture
def signed_in(
    hub: RunningHub, database: EmbeddedDatabase, log: AppLog, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SignedIn]:
    """An endpoint that knows two client ids and the system-assigned identity, all users of the database."""
    with (
        IdentityEndpoint(CLIENT_ID, OTHER_ID, None) as endpoint,
        OidcProxy(port_of(database.uri), endpoint) as protected,
        Instance(hub, database.uri) as near,
    ):
        for name, value in endpoint.environment().items():
            monkeypatch.setenv(name, value)
        yield SignedIn(hub, near, protected, endpoint, log)


@pytest.fixture(autouse=True)
def no_secret(signed_in: SignedIn, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No logger writes a token down, at no level, nor what the endpoint knows the app by."""
    caplog.set_level(logging.DEBUG)
    yield
    written = signed_in.log.text + caplog.text
    secrets = (*signed_in.endpoint.secrets(), _TOKEN_BEGINS)
    assert [secret for secret in secrets if secret in written] == []
