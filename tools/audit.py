"""`python -m tools.audit`: looks up the deployed packages in the database of known vulnerabilities.

pip-audit does the looking up. It reports packages that the database did not answer for as free of known
vulnerabilities, and an unreachable database as a failure. Here missing answers are reported, and fail the
audit where `CI` is set; an unreachable database does not fail it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
TIMEOUT_SECONDS = 300.0
_SOCKET_SECONDS = "15"


class AuditError(Exception):
    """pip-audit failed for another reason than an unreachable database."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of an audit."""

    findings: tuple[str, ...]
    """One line for each known vulnerability."""
    audited: int
    """Packages that the database knows."""
    not_audited: tuple[str, ...] = ()
    """Packages that it did not answer for."""
    unreachable: str | None = None
    """Why the database gave no answer at all."""

    @property
    def incomplete(self) -> bool:
        """The database was reachable and answered for some packages only."""
        return bool(self.audited and self.not_audited)

    def status(self, *, must_be_complete: bool) -> int:
        """The exit status: 1 for findings, and for an incomplete answer where it must be complete."""
        return 1 if self.findings or (must_be_complete and self.incomplete) else 0

    def text(self) -> str:
        """For the reader of the build's log."""
        if self.findings:
            lines = [f"{len(self.findings)} known vulnerabilities:", *self.findings]
        elif self.unreachable is not None:
            lines = [f"THE DEPENDENCY AUDIT WAS NOT DONE: {self.unreachable}"]
        elif not self.audited:
            lines = ["THE DEPENDENCY AUDIT WAS NOT DONE: the database answered for no package."]
        else:
            lines = [f"{self.audited} packages have no known vulnerability."]
        if self.incomplete:
            lines.append(f"NOT AUDITED, because the database did not answer: {', '.join(self.not_audited)}")
        return "\n".join(lines)


def read(status: int, out: str, err: str) -> Report:
    """The report in what a run of pip-audit printed.

    Raises:
        AuditError: it failed, and not because the database is unreachable.
    """
    try:
        answer: Mapping[str, Any] = json.loads(out)
    except ValueError:
        return _failed(status, err)
    findings, audited, skipped = [], 0, []
    for package in answer["dependencies"]:
        if "skip_reason" in package:
            skipped.append(str(package["name"]))
            continue
        audited += 1
        findings += [_finding(package, vulnerability) for vulnerability in package["vulns"]]
    if status != 0 and not findings:
        raise AuditError(f"pip-audit ended with status {status} and names no vulnerability")
    return Report(tuple(findings), audited, tuple(skipped))


def _finding(package: Mapping[str, Any], vulnerability: Mapping[str, Any]) -> str:
    fixes = ", ".join(vulnerability["fix_versions"]) or "no version yet"
    return f"{package['name']} {package['version']}: {vulnerability['id']}, fixed in {fixes}"


# How an unreachable server shows in the words of pip-audit, requests and urllib3.
_NETWORK = (
    "your network may be blocking", "ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError",
    "SSLError", "Max retries exceeded", "Name or service not known", "_service.interface.ServiceError",
)  # fmt: skip


def _failed(status: int, err: str) -> Report:
    last = next((line for line in reversed(err.splitlines()) if line.strip()), "no reason given")
    if any(sign in err for sign in _NETWORK):
        return Report(
            (), 0, unreachable=f"the vulnerability database cannot be reached ({last.strip()[:200]})"
        )
    raise AuditError(f"pip-audit ended with status {status}: {last.strip()[:500]}")


def run(requirements: Path, command: Sequence[str]) -> Report:
    """Look up every package of a requirements file that pins and hashes all of them.

    Args:
        requirements: the file.
        command: runs pip-audit.

    Raises:
        AuditError: pip-audit failed, and not because the database is unreachable.
    """
    options = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--timeout", _SOCKET_SECONDS]
    try:
        done = subprocess.run(
            [*command, *options, "--format", "json", "--requirement", str(requirements)],
            capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Report((), 0, unreachable="the vulnerability database takes too long")
    return read(done.returncode, done.stdout, done.stderr)


def main() -> int:
    """Audit requirements.txt; 1 for what the report calls a failure, 2 if pip-audit itself fails."""
    try:
        report = run(REQUIREMENTS, [sys.executable, "-m", "pip_audit"])
    except AuditError as error:
        print(f"The dependency audit failed: {error}", file=sys.stderr)
        return 2
    print(report.text())
    return report.status(must_be_complete=bool(os.environ.get("CI")))


if __name__ == "__main__":
    sys.exit(main())
