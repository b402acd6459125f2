"""Users, registrations and additional hosts for the tests."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pymongo.collection import Collection

from local.database import EmbeddedDatabase
from local.process import OnLine
from local.samples import Phone, phones
from local.stack import Host, Stack, StackOptions

Documents = Collection[dict[str, Any]]


@contextmanager
def another_host(
    stack: Stack,
    log: OnLine,
    settings: Mapping[str, str],
    *,
    database: EmbeddedDatabase | None = None,
    hub_url: str | None = None,
    log_level: str = "INFO",
    host_module: str = "local.host",
) -> Iterator[Host]:
    """Another host with settings of its own, over the stack's database and hub, with the stack's keys."""
    options = StackOptions(settings=settings, on_line=log, log_level=log_level, host_module=host_module)
    twin = Stack(options)
    twin.keys = stack.keys
    twin.database = database or stack.database
    twin.hub_url = hub_url or stack.hub_url
    host = twin.start_host()
    try:
        yield host
    finally:
        host.close()


def new_user(prefix: str = "8:acs:") -> str:
    """The MRI of a new user."""
    return f"{prefix}{uuid.uuid4()}_{uuid.uuid4()}"


def register_phones(host: Host, acs_mri: str) -> tuple[Phone, ...]:
    """An iPhone, an Android phone and a Windows PC, registered for the user."""
    devices = phones()
    for phone in devices:
        response = host.add_device_token(phone.registration(acs_mri))
        assert response.status_code == 201, response.text
    return devices
