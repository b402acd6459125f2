"""The dependency audit says what it found, and what it could not find out."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.audit import REQUIREMENTS, AuditError, Report, deployed, read, run

VULNERABLE = {
    "name": "oldlib",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}],
}
FINE = {"name": "goodlib", "version": "2.0", "vulns": []}
UNKNOWN = {"name": "strange", "skip_reason": "Dependency not found on PyPI"}


def answer(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


class TestDeployed:
    def test_everything(self) -> None:
        """All that requirements.txt brings is looked up, and nothing that is for development."""
        pins = {pin.partition("==")[0].lower() for pin in deployed(REQUIREMENTS)}
        assert {"azure-functions", "pymongo", "requests", "pyjwt", "pydantic"} <= pins
        # By an extra, and by a package of a package.
        assert {"cryptography", "dnspython", "urllib3"} <= pins
        assert not pins & {"pytest", "schemathesis", "mypy", "secantusdb", "aiohttp"}

    def test_pins(self) -> None:
        """What is looked up is what is pinned."""
        constraints = (
            (REQUIREMENTS.parent / "constraints.txt").read_text().lower().replace("_", "-").split("\n")
        )
        assert [
            pin for pin in deployed(REQUIREMENTS) if pin.lower().replace("_", "-") not in constraints
        ] == []


class TestReport:
    def test_clean(self) -> None:
        """Without a finding the build goes on."""
        report = read(0, answer(FINE), "")
        assert (report.status, report.text()) == (0, "1 packages have no known vulnerability.")

    def test_finding(self) -> None:
        """A known vulnerability stops it, with its name and what mends it."""
        report = read(1, answer(FINE, VULNERABLE, UNKNOWN), "")
        assert report.status == 1
        assert "oldlib 1.0: PYSEC-1, mended by 1.1" in report.text()
        assert "strange" in report.text()

    def test_unanswered(self) -> None:
        """A database that knows none of the packages has audited nothing, whatever pip-audit calls that."""
        report = read(0, answer(UNKNOWN), "No known vulnerabilities found")
        assert report.status == 0
        assert "WAS NOT DONE" in report.text()

    def test_partly_unanswered(self) -> None:
        """Packages that it does not know are named."""
        assert (
            "NOT AUDITED, since the database did not answer: strange"
            in read(0, answer(FINE, UNKNOWN), "").text()
        )

    @pytest.mark.parametrize(
        "err",
        [
            "ERROR:Could not connect to PyPI\nERROR: Tip: your network may be blocking this service.",
            "Traceback\nrequests.exceptions.ConnectionError: HTTPSConnectionPool: Max retries exceeded",
            "Traceback\npip_audit._service.interface.ServiceError",
        ],
    )
    def test_unreachable(self, err: str) -> None:
        """A database that cannot be reached is said aloud, and is no reason to stop a build."""
        report = read(1, "", err)
        assert report.status == 0
        assert report.text().startswith("THE DEPENDENCY AUDIT WAS NOT DONE")

    @pytest.mark.parametrize(("status", "out"), [(1, ""), (2, ""), (1, answer(FINE)), (0, "")])
    def test_failed(self, status: int, out: str) -> None:
        """Any other failure of pip-audit is one: it does not pass for an audit."""
        with pytest.raises(AuditError):
            read(status, out, "usage: pip-audit [-h]")


class TestRun:
    def test_command(self, tmp_path: Path) -> None:
        """pip-audit gets the pins and is asked for no resolving."""
        script = tmp_path / "audit.py"
        script.write_text(
            "import json, pathlib, sys\n"
            "lines = pathlib.Path(sys.argv[-1]).read_text().split()\n"
            "assert '--no-deps' in sys.argv and '--disable-pip' in sys.argv\n"
            "vulns = [{'id': 'X-1', 'fix_versions': []}] if 'oldlib==1.0' in lines else []\n"
            "print(json.dumps({'dependencies': [{'name': 'oldlib', 'version': '1.0', 'vulns': vulns}]}))\n"
            "sys.exit(1 if vulns else 0)\n"
        )
        assert run(["oldlib==1.0"], [sys.executable, str(script)]).status == 1
        assert run(["oldlib==1.1"], [sys.executable, str(script)]) == Report((), 1)
