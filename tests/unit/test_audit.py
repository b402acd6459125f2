"""The dependency audit says what it found, and what it could not find out."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.audit import AuditError, Report, read, run

VULNERABLE = {
    "name": "oldlib",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}],
}
FINE = {"name": "goodlib", "version": "2.0", "vulns": []}
UNKNOWN = {"name": "strange", "skip_reason": "Dependency not found on PyPI"}


def answer(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


class TestReport:
    @pytest.mark.parametrize("must_be_complete", [False, True])
    def test_clean(self, must_be_complete: bool) -> None:
        """Without a finding the build goes on."""
        report = read(0, answer(FINE), "")
        assert report.text() == "1 packages have no known vulnerability."
        assert report.status(must_be_complete=must_be_complete) == 0

    def test_finding(self) -> None:
        """A known vulnerability stops it; its name and the version that fixes it are reported."""
        report = read(1, answer(FINE, VULNERABLE, UNKNOWN), "")
        assert report.status(must_be_complete=False) == 1
        assert "oldlib 1.0: PYSEC-1, fixed in 1.1" in report.text()
        assert "strange" in report.text()

    @pytest.mark.parametrize("must_be_complete", [False, True])
    def test_unanswered(self, must_be_complete: bool) -> None:
        """A database that knows none of the packages has audited nothing, although pip-audit reports no
        vulnerability."""
        report = read(0, answer(UNKNOWN), "No known vulnerabilities found")
        assert report.status(must_be_complete=must_be_complete) == 0
        assert "WAS NOT DONE" in report.text()

    def test_partly_unanswered(self) -> None:
        """Packages that it does not know are named; where the answer must be complete, the build stops."""
        report = read(0, answer(FINE, UNKNOWN), "")
        assert "NOT AUDITED, because the database did not answer: strange" in report.text()
        assert report.status(must_be_complete=False) == 0
        assert report.status(must_be_complete=True) == 1

    @pytest.mark.parametrize(
        "err",
        [
            "ERROR:Could not connect to PyPI\nERROR: Tip: your network may be blocking this service.",
            "Traceback\nrequests.exceptions.ConnectionError: HTTPSConnectionPool: Max retries exceeded",
            "Traceback\npip_audit._service.interface.ServiceError",
        ],
    )
    def test_unreachable(self, err: str) -> None:
        """A database that cannot be reached is reported, and does not stop a build."""
        report = read(1, "", err)
        assert report.status(must_be_complete=True) == 0
        assert report.text().startswith("THE DEPENDENCY AUDIT WAS NOT DONE")

    @pytest.mark.parametrize(("status", "out"), [(1, ""), (2, ""), (1, answer(FINE)), (0, "")])
    def test_failed(self, status: int, out: str) -> None:
        """Any other failure of pip-audit is one: it does not pass for an audit."""
        with pytest.raises(AuditError):
            read(status, out, "usage: pip-audit [-h]")


class TestRun:
    def test_command(self, tmp_path: Path) -> None:
        """pip-audit gets the requirements file, has to find hashes in it, and resolves nothing."""
        script, requirements = tmp_path / "audit.py", tmp_path / "requirements.txt"
        script.write_text(
            "import json, pathlib, sys\n"
            "lines = pathlib.Path(sys.argv[-1]).read_text().split()\n"
            "assert '--require-hashes' in sys.argv and '--disable-pip' in sys.argv\n"
            "vulns = [{'id': 'X-1', 'fix_versions': []}] if 'oldlib==1.0' in lines else []\n"
            "print(json.dumps({'dependencies': [{'name': 'oldlib', 'version': '1.0', 'vulns': vulns}]}))\n"
            "sys.exit(1 if vulns else 0)\n"
        )
        requirements.write_text("oldlib==1.0")
        assert run(requirements, [sys.executable, str(script)]).status(must_be_complete=False) == 1
        requirements.write_text("oldlib==1.1")
        assert run(requirements, [sys.executable, str(script)]) == Report((), 1)
