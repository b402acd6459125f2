"""The doctor and the OpenID Connect issuer: what a real one may do wrong."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from doctor.checks.findings import Status
from doctor.checks.oidc_checks import DISCOVERY, KEYS, check_oidc
from doctor.probes.oidc_probe import OidcProbe
from models.access import OidcSettings
from tests.answering_server import Asked, Reply, answering

KEY = {"kty": "RSA", "kid": "1", "use": "sig"}


def json_reply(document: Any) -> Reply:
    return Reply(200, json.dumps(document).encode())


class Issuer:
    """Publishes what it should, but for what a test changes."""

    def __init__(self) -> None:
        self.url = ""
        self.discovery: Callable[[], Reply] = lambda: json_reply(
            {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        )
        self.keys: Callable[[], Reply] = lambda: json_reply({"keys": [KEY]})

    def answer(self, asked: Asked) -> Reply:
        return self.keys() if asked.path == "/keys" else self.discovery()


def statuses(issuer: Issuer) -> dict[str, Status]:
    with answering(issuer.answer) as issuer.url, requests.Session() as session:
        oidc = OidcSettings(issuer.url, "audience", "acsMri", "admin")
        found = check_oidc(oidc, OidcProbe(oidc, session).ask())
    assert all(check.remedy for check in found if check.status is Status.FAIL)
    return {check.name: check.status for check in found}


def test_well() -> None:
    """An issuer with a discovery document of its own and a public key passes."""
    assert statuses(Issuer()) == {DISCOVERY: Status.PASS, KEYS: Status.PASS}


@pytest.mark.parametrize(
    "reply",
    [Reply(404), Reply(302, headers={"Location": "/"}), Reply(200, b"<html>"), json_reply([])],
    ids=["404", "redirect", "HTML", "a list"],
)
def test_no_discovery_document(reply: Reply) -> None:
    """Without a discovery document the keys cannot be found either."""
    issuer = Issuer()
    issuer.discovery = lambda: reply
    assert statuses(issuer) == {DISCOVERY: Status.FAIL, KEYS: Status.CANNOT_TELL}


def test_other_issuer() -> None:
    """A discovery document of another issuer, be it by a slash, is refused."""
    issuer = Issuer()
    issuer.discovery = lambda: json_reply({"issuer": f"{issuer.url}/", "jwks_uri": f"{issuer.url}/keys"})
    assert statuses(issuer)[DISCOVERY] is Status.FAIL


@pytest.mark.parametrize(
    "reply",
    [Reply(500), json_reply({}), json_reply({"keys": []}), json_reply({"keys": [{"kty": "oct"}]})],
    ids=["500", "no keys", "none", "a symmetric one"],
)
def test_no_usable_key(reply: Reply) -> None:
    """Without a public key for signatures no token can be checked."""
    issuer = Issuer()
    issuer.keys = lambda: reply
    assert statuses(issuer) == {DISCOVERY: Status.PASS, KEYS: Status.FAIL}


def test_keys_over_plain_http() -> None:
    """Keys that do not come over https are refused, wherever they are."""
    issuer = Issuer()
    issuer.discovery = lambda: json_reply({"issuer": issuer.url, "jwks_uri": "http://0.0.0.0:1/keys"})
    assert statuses(issuer)[KEYS] is Status.FAIL


def test_down() -> None:
    """An issuer that cannot be reached."""
    issuer = Issuer()
    with answering(issuer.answer) as url:
        pass
    oidc = OidcSettings(url, "audience", "acsMri", "admin")
    with requests.Session() as session:
        found = check_oidc(oidc, OidcProbe(oidc, session).ask())
    assert found[0].status is Status.FAIL
