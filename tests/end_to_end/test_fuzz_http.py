"""Schemathesis against the running stack: every answer is one of docs/openapi.yaml, and none is a 5xx."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from pymongo import MongoClient

from local.hub.config import DEVELOPMENT_HUB
from local.stack import Host, Stack
from models.platform import PLATFORM_NAMES, Platform
from tests.end_to_end.callers import FUNCTIONS, bearer, call
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import another_host
from tests.oidc_issuer import ADMIN_ROLE, OidcIssuer

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "openapi.yaml"
SECONDS = 25
LEAST_BAD = 50
"""Far below what a busy machine reaches, so that only a run without requests fails."""

HEALTH_OPERATIONS = 4


def fuzz_settings(stack: Stack) -> dict[str, str]:
    """No limit, a database of its own, the hub under a second name, and no timer: its line is of no
    request."""
    return {
        "FeedbackSchedule": "none",
        "RegistrationsPerMinute": "0",
        "DbName": "fuzz",
        "ANHHub__alerts__ConnectionString": DEVELOPMENT_HUB.connection_string(),
        "ANHHub__alerts__HubName": DEVELOPMENT_HUB.hub_name,
        "ANHHub__alerts__Url": stack.settings["ANHHubUrl"],
    }


_AUDIT = (
    r'\S+ \S+ (INFO|WARNING) +acs_call_push: \{"event": "registrar_audit", "version": "[0-9.]+", '
    r'"action": "\w+", "right": "\w+", '
    r'"user": "[0-9a-f]{16}"(, "(device|registration|moved_from|platform|purpose|hub)": "[0-9a-z, ]+"'
    r'|, "(registrations|devices)": \d+)*\}'
)
_HOUSEKEEPING = re.compile(
    r"\S+ \S+ INFO +local\.host: (Executing 'Functions\.\w+' \(Id=[0-9a-f-]+\)|"
    r"Executed 'Functions\.\w+' \(Succeeded, Id=[0-9a-f-]+, Duration=\d+ms\)|Stopping)|"
    r"\S+ \S+ WARNING +local\.host: (a request|[\w/]+): answered (401|404), because "
    r"(it is served for [A-Z, ]+ only|no function has its route|"
    r"the request has (an unknown key|no key \([\w -]+\)); it needs [\w ,]+)|\{\"ready\".*|" + _AUDIT
)
_BEGINNING = re.compile(r"\d{4}-\d\d-\d\d |\{")
# The development host's server refuses such a request before there is any; Azure has another server.
_NO_HTTP = re.compile(r"\S+ \S+ ERROR +aiohttp\.server: Error handling request from 127\.0\.0\.1")


@pytest.fixture(scope="module")
def fuzz_log() -> HostLog:
    return HostLog()


@pytest.fixture(scope="module")
def host(stack: Stack, fuzz_log: HostLog) -> Iterator[Host]:
    """A host in the key mode, with a database of its own."""
    with another_host(stack, fuzz_log, fuzz_settings(stack)) as running:
        yield running


@pytest.fixture(scope="module")
def database(stack: Stack) -> Iterator[Any]:
    with MongoClient[dict[str, Any]](stack.database.uri) as client:
        yield client["fuzz"]


_INVISIBLE = (
    r"\u0000-\u001f\u007f-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    r"\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0"
    r"\ufff9-\ufffb"
)
_SPACES = r"\u0020\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_VISIBLE = f"[^{_INVISIBLE}{_SPACES}]"
_IDENTIFIER = f"({_VISIBLE}|{_VISIBLE}[^{_INVISIBLE}]*{_VISIBLE})"


def document_for(scheme: str, folder: Path, *, is_negative: bool) -> Path:
    """The document for one mode, with what its prose says of identifiers as patterns."""
    document = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    schemes = document["components"]["securitySchemes"]
    document["security"] = [{scheme: []}]
    document["components"]["securitySchemes"] = {scheme: schemes[scheme]}
    schemas = document["components"]["schemas"]
    if is_negative:
        # They double the time that a malformed request takes to make, and make none that is worse.
        for conditional in ("if", "then", "else"):
            del schemas["DeviceInfo"][conditional]
    # Which hubs there are, the document cannot know.
    schemas["DeviceInfo"]["properties"]["hub"] = {"enum": ["default", "alerts", "ALERTS", None]}
    # Whose browser may be registered, and what its subscription is, no schema of one field says.
    platforms = schemas["DeviceInfo"]["properties"]["platform"]
    platforms["enum"] = [name for name in platforms["enum"] if PLATFORM_NAMES[name] is not Platform.BROWSER]
    for name in ("DeviceUUID", "CallId"):
        schemas[name]["pattern"] = f"^{_IDENTIFIER}$"
    prefix = schemas["AcsMri"]["pattern"].removesuffix(":")
    schemas["AcsMri"]["pattern"] = f"{prefix}:({_VISIBLE}|[^{_INVISIBLE}]*{_VISIBLE})$"
    path = folder / "openapi.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def schemathesis(host: Host, folder: Path, scheme: str, header: str, *options: str) -> int:
    """One run; a failure shows what schemathesis found.

    Returns:
        How many requests it made.
    """
    report = folder / "report.json"
    document = document_for(scheme, folder, is_negative="negative" in options)
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")), "run", str(document),
            "--url", f"{host.url}/api", "--header", header, "--seed", "1", "--no-color", "--no-shrink",
            "--checks", "all", "--request-timeout", "20", "--generation-database", "none",
            "--report", "json", "--report-json-path", str(report), *options,
        ],
        cwd=folder, capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.end_to_end.fuzz_hooks", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    shown = "\n".join(line[:300] for line in (done.stdout + done.stderr).splitlines())
    assert done.returncode == 0, shown[-6_000:]
    found = json.loads(report.read_text())
    # The health functions take no input that could be malformed.
    assert found["operations"]["tested"] in {len(FUNCTIONS), len(FUNCTIONS) + HEALTH_OPERATIONS}
    assert found["test_cases"]["errored"] == 0
    return int(found["test_cases"]["generated"])


def host_key(host: Host) -> str:
    """A key for all functions."""
    return f"x-functions-key: {host.keys.host}"


# The host answers a wrong method with 404, as Azure's does; the check wants 405.
ALL_BUT_METHODS = ("--exclude-checks", "unsupported_method")


def only_housekeeping(log: HostLog) -> None:
    """The log has the host's lines and the audit's, whose values are fingerprints: nothing of any request."""
    entries: list[str] = []
    for line in log.lines():
        if _BEGINNING.match(line) or not entries:
            entries.append(line)
        else:
            entries[-1] += f"\n{line}"
    strangers = [entry for entry in entries if not _HOUSEKEEPING.fullmatch(entry)]
    assert [entry for entry in strangers if not _NO_HTTP.match(entry)] == []


class TestFuzz:
    def test_bad_input(self, host: Host, database: Any, fuzz_log: HostLog, tmp_path: Path) -> None:
        """Requests that break the schema are refused as the document says; nothing is stored or logged."""
        options = (
            "--phases",
            "fuzzing",
            "--mode",
            "negative",
            "--max-time",
            str(SECONDS),
            "--max-examples",
            "1000",
        )
        cases = schemathesis(host, tmp_path, "functionKey", host_key(host), *ALL_BUT_METHODS, *options)
        print(f"Fuzzed requests: {cases}")  # noqa: T201 - the statistic
        assert cases >= LEAST_BAD
        assert database["DeviceRegistrations"].find_one() is None
        only_housekeeping(fuzz_log)

    def test_every_boundary(self, host: Host, fuzz_log: HostLog, tmp_path: Path) -> None:
        """Requests at the limits are accepted; those just beyond, and those without a key, are refused."""
        options = ("--phases", "examples,coverage")
        cases = schemathesis(host, tmp_path, "functionKey", host_key(host), *ALL_BUT_METHODS, *options)
        assert cases > 40
        only_housekeeping(fuzz_log)

    def test_every_boundary_with_a_token(self, stack: Stack, tmp_path: Path) -> None:
        """The same with a bearer token: without it, and with a wrong one, the answer is 401."""
        log = HostLog()
        settings = fuzz_settings(stack)
        with OidcIssuer() as issuer, another_host(stack, log, {**settings, **issuer.settings()}) as signed_in:
            token = issuer.token(roles=[ADMIN_ROLE])
            header = f"Authorization: Bearer {token}"
            cases = schemathesis(
                signed_in, tmp_path, "bearerToken", header, *ALL_BUT_METHODS, "--phases", "examples,coverage"
            )
            assert cases > 40
            only_housekeeping(log)
            for function in FUNCTIONS:
                assert call(signed_in, function, "8:acs:x", bearer(token[:-5])).status_code == 401


@pytest.mark.parametrize("route", ["add_device_token", "get_device_registrations", "nothing"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "HEAD", "TRACE"])
def test_other_methods(host: Host, route: str, method: str) -> None:
    """A method that a route does not have is a 404 without content."""
    response: requests.Response = host.call(method, route, function="AddDeviceToken")
    assert (response.status_code, response.content) == (404, b"")
