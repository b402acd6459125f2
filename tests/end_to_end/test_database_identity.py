"""The app over a database that takes tokens instead of passwords, through the real worker."""

import uuid
from collections import Counter
from collections.abc import Iterator

import pytest

from local.samples import event_grid_event, incoming_call_data
from local.stack import Host, Stack
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import another_host, new_user, register_phones
from tests.faults import CLIENT_ID, IdentityEndpoint, OidcProxy, port_of
from tests.rig import at_once

CALLS = 64


@pytest.fixture
def endpoint() -> Iterator[IdentityEndpoint]:
    """Hands out tokens of the app's identity."""
    with IdentityEndpoint(CLIENT_ID) as running:
        yield running


@pytest.fixture
def protected(stack: Stack, endpoint: IdentityEndpoint) -> Iterator[OidcProxy]:
    """The stack's database, behind a sign-in."""
    with OidcProxy(port_of(stack.database.uri), endpoint) as running:
        yield running


@pytest.fixture
def host_log() -> HostLog:
    """Of the host that signs in."""
    return HostLog()


@pytest.fixture
def by_identity(
    stack: Stack, endpoint: IdentityEndpoint, protected: OidcProxy, host_log: HostLog
) -> Iterator[Host]:
    """A host whose settings hold no password of the database."""
    settings = {
        **endpoint.environment(),
        "MongoDbConnectionString": protected.uri(),
        "AZURE_CLIENT_ID": CLIENT_ID,
    }
    assert "@" not in settings["MongoDbConnectionString"]
    with another_host(stack, host_log, settings, log_level="DEBUG") as host:
        yield host
    written = "\n".join(host_log.lines())
    assert [secret for secret in endpoint.secrets() if secret in written] == []


def call(stack: Stack, host: Host, user: str) -> tuple[int, int]:
    """Place a call: the status that Event Grid hears, and how many pushes the hub took."""
    call_id = str(uuid.uuid4())
    response = host.deliver(event_grid_event(incoming_call_data(user, call_id=call_id)))
    return response.status_code, sum(push.call_id == call_id for push in stack.hub.pushes())


def test_registration_and_ring(
    stack: Stack, by_identity: Host, endpoint: IdentityEndpoint, protected: OidcProxy, host_log: HostLog
) -> None:
    """Phones register and ring with one token; the health function tells the way of the sign-in."""
    phones = register_phones(by_identity, user := new_user())
    assert call(stack, by_identity, user) == (202, len(phones))
    ready = by_identity.call("GET", "health/ready")
    assert (ready.status_code, ready.json()["databaseSignIn"]) == (200, "identity")
    assert CLIENT_ID not in ready.text
    assert [request.client_id for request in endpoint.requests] == [CLIENT_ID]
    assert protected.refusals == []
    assert host_log.entries(event="no_database_token") == []


def test_cold_start(stack: Stack, by_identity: Host, endpoint: IdentityEndpoint) -> None:
    """The first 64 calls of a process come at once and share one token."""
    users = [new_user() for _ in range(CALLS)]
    for user in users:
        register_phones(stack.host, user)
    endpoint.be_slow(0.3)
    answers = at_once(lambda user: call(stack, by_identity, user), users)
    assert Counter(answers) == {(202, 3): CALLS}
    assert len(endpoint.requests) == 1


def test_token_that_ends(
    stack: Stack, by_identity: Host, protected: OidcProxy, endpoint: IdentityEndpoint
) -> None:
    """The database takes the token no longer while calls come in: it is renewed once, and no call is lost."""
    phones = register_phones(by_identity, user := new_user())
    protected.revoke_tokens()
    answers = at_once(lambda user: call(stack, by_identity, user), [user] * 8)
    assert Counter(answers) == {(202, len(phones)): 8}
    assert len(endpoint.requests) == 2
    assert 391 in protected.refusals


def test_no_token(stack: Stack, by_identity: Host, endpoint: IdentityEndpoint, host_log: HostLog) -> None:
    """Without a token the worker raises, so that Event Grid redelivers, and one line says why."""
    phones = register_phones(stack.host, user := new_user())
    endpoint.identities.clear()
    event = event_grid_event(incoming_call_data(user, call_id=str(uuid.uuid4())))
    assert by_identity.deliver(event).status_code == 500
    (line,) = host_log.entries(event="no_database_token")
    assert line.level == "WARNING"
    assert line.fields["identity"] == f"client id {CLIENT_ID}"
    assert line.fields["setting"] == "AZURE_CLIENT_ID"
    assert line.fields["answer"] == "HTTP 400"
    endpoint.identities.add(CLIENT_ID)
    assert by_identity.deliver(event).status_code == 202
    tokens = {phone.device_token for phone in phones}
    assert sum(push.device_handle in tokens for push in stack.hub.pushes()) == len(phones)
