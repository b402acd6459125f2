"""`python -m tools.audit`: looks the deployed packages up in the database of known vulnerabilities.

pip-audit does the looking up. On its own it calls packages that the database did not answer for "no known
vulnerabilities", and an unreachable database a failure; here the first is said aloud and the second is no
reason to stop a build.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from packaging.requirements import Requirement

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
TIMEOUT_SECONDS = 300.0
_SOCKET_SECONDS = "15"


class AuditError(Exception):
    """The audit cannot be made, and it is not for want of a network."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit came to."""

    findings: tuple[str, ...]
    """One line for each known vulnerability."""
    audited: int
    """Packages that the database knows."""
    not_audited: tuple[str, ...] = ()
    """Packages that it did not answer for."""
    unreachable: str | None = None
    """Why the database could not be asked at all."""

    @property
    def status(self) -> int:
        """The exit status: 1 for findings alone."""
        return 1 if self.findings else 0

    def text(self) -> str:
        """For the reader of the build's log."""
        if self.findings:
            lines = [f"{len(self.findings)} known vulnerabilities:", *self.findings]
        elif self.unreachable is not None:
            lines = [f"THE DEPENDENCY AUDIT WAS NOT DONE: {self.unreachable}"]
        elif not self.audited:
            lines = ["THE DEPENDENCY AUDIT WAS NOT DONE: the database answered for no package at all."]
        else:
            lines = [f"{self.audited} packages have no known vulnerability."]
        if self.audited and self.not_audited:
            lines.append(f"NOT AUDITED, since the database did not answer: {', '.join(self.not_audited)}")
        return "\n".join(lines)


def deployed(requirements: Path) -> list[str]:
    """The pins, such as `requests==2.34.2`, of what the file names and brings along, as installed."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    wanted = [
        Requirement(line) for line in lines if line.strip() and not line.lstrip().startswith(("#", "-"))
    ]
    pins: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    while wanted:
        requirement = wanted.pop()
        for extra in sorted({"", *requirement.extras}):
            if (requirement.name.lower(), extra) in seen:
                continue
            seen.add((requirement.name.lower(), extra))
            found = distribution(requirement.name)
            pins[requirement.name.lower()] = f"{found.name}=={found.version}"
            wanted += _needed(found.requires or (), extra)
    return sorted(pins.values(), key=str.lower)


def _needed(requires: Iterable[str], extra: str) -> list[Requirement]:
    parsed = [Requirement(each) for each in requires]
    return [each for each in parsed if each.marker is None or each.marker.evaluate({"extra": extra})]


def read(status: int, out: str, err: str) -> Report:
    """What a run of pip-audit says.

    Raises:
        AuditError: it failed, and not because it could not reach the database.
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
    fixes = ", ".join(vulnerability["fix_versions"]) or "nothing yet"
    return f"{package['name']} {package['version']}: {vulnerability['id']}, mended by {fixes}"


# What is left of a failure to reach a server, in the words of pip-audit, requests and urllib3.
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


def run(pins: Sequence[str], command: Sequence[str]) -> Report:
    """Have `command`, pip-audit, look the pins up; raises AuditError."""
    with TemporaryDirectory() as folder:
        listed = Path(folder) / "deployed.txt"
        listed.write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
        options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--timeout", _SOCKET_SECONDS]
        try:
            done = subprocess.run(
                [*command, *options, "--format", "json", "--requirement", str(listed)],
                capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Report((), 0, unreachable="the vulnerability database takes too long")
    return read(done.returncode, done.stdout, done.stderr)


def main() -> int:
    """Audit what requirements.txt deploys; 1 for known vulnerabilities, 2 if pip-audit itself fails."""
    try:
        report = run(deployed(REQUIREMENTS), [sys.executable, "-m", "pip_audit"])
    except AuditError as error:
        print(f"The dependency audit failed: {error}", file=sys.stderr)
        return 2
    print(report.text())
    return report.status


if __name__ == "__main__":
    sys.exit(main())
