"""The command lines of `az` and `azd`, run without a shell."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import python_version  # noqa: F401

Json = dict[str, Any]

_CODE = re.compile(r'"code"\s*:\s*"(\w+)"|\((\w+)\)|^Code: (\w+)', re.MULTILINE)


class CommandError(Exception):
    """A command failed. The message is what it said; `code` is Resource Manager's, empty if it gave none."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class StopError(Exception):
    """The script cannot go on. The message says why and what to do."""


def find(tool: str, how_to_get_it: str) -> str:
    """Path of an executable; on Windows with its ending, `az.cmd`.

    Raises:
        StopError: it is not on the PATH.
    """
    found = shutil.which(tool)
    if found is None:
        message = f"{tool} is needed: {how_to_get_it}"
        raise StopError(message)
    return found


def run(executable: str, *arguments: str) -> str:
    """Run a command and return what it prints.

    On Windows `az` is a batch file, whose arguments are read by cmd.exe: callers keep quotes, `&`, `|` and
    `%` out of them, and hand over JSON in files.

    Raises:
        CommandError: it ended with another code than 0.
    """
    done = subprocess.run(
        [executable, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip() or f"it ended with code {done.returncode}"
        match = _CODE.search(said)
        code = next((group for group in match.groups() if group), "") if match else ""
        raise CommandError(said, code)
    return done.stdout


@contextmanager
def json_file(value: object) -> Iterator[str]:
    """Path of a file that holds `value` as JSON, for as long as the block runs."""
    handle, name = tempfile.mkstemp(suffix=".json")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file)
        yield name
    finally:
        Path(name).unlink()


class Az:
    """The Azure CLI, in one subscription."""

    def __init__(self, subscription: str) -> None:
        """Find the executable.

        Raises:
            StopError: it is not installed.
        """
        self._executable = find("az", "https://aka.ms/azure-cli")
        self._subscription = subscription

    def run(self, *arguments: str) -> str:
        """Run a command that takes `--subscription`, and return what it prints.

        Raises:
            CommandError: it failed.
        """
        return run(self._executable, *arguments, "--subscription", self._subscription)

    def get(self, *arguments: str) -> Any:  # noqa: ANN401
        """Run a command and return the JSON that it prints; None if it prints nothing.

        Raises:
            CommandError: it failed.
        """
        printed = self.run(*arguments, "--output", "json")
        return json.loads(printed) if printed.strip() else None

    def list(self, path: str, version: str) -> list[Json]:
        """Every resource of a list of Resource Manager.

        Args:
            path: below the subscription, such as `/resourceGroups/GROUP/providers/…`. Without the right to
                read it answers 403, where the general list of resources would leave the resource out.
            version: of the resource provider's API.

        Raises:
            CommandError: it failed.
        """
        found: list[Json] = []
        url = f"/subscriptions/{self._subscription}{path}"
        parameters = {"api-version": version}
        while True:
            pairs = [f"{name}={value}" for name, value in parameters.items()]
            page = json.loads(self._rest("get", url, "--url-parameters", *pairs))
            found += page["value"]
            link = page.get("nextLink")
            if not link:
                return found
            parts = urlsplit(link)
            url, parameters = parts.path, dict(parse_qsl(parts.query))

    def patch(self, path: str, version: str, body: Mapping[str, object]) -> None:
        """Change a resource.

        Raises:
            CommandError: it failed.
        """
        url = f"/subscriptions/{self._subscription}{path}"
        with json_file(body) as name:
            self._rest("patch", url, "--url-parameters", f"api-version={version}", "--body", f"@{name}")

    def deploy(self, group: str, name: str, template: Path, parameters: Mapping[str, object]) -> None:
        """Deploy a template into a resource group, and wait for it.

        Raises:
            CommandError: it failed.
        """
        with json_file({"parameters": {key: {"value": value} for key, value in parameters.items()}}) as file:
            self.run(
                "deployment", "group", "create", "--resource-group", group, "--name", name,
                "--template-file", str(template), "--parameters", f"@{file}", "--output", "none",
            )  # fmt: skip

    def _rest(self, method: str, url: str, *arguments: str) -> str:
        # The URL names the subscription; `az rest` takes the cloud's address and a token from the sign-in.
        # An operator's own configuration may have az print tables.
        return run(
            self._executable, "rest", "--method", method, "--url", url, *arguments, "--output", "json"
        )  # fmt: skip


class Azd:
    """One environment of azd."""

    def __init__(self, environment: str) -> None:
        """Find the executable. An empty name means azd's default environment.

        Raises:
            StopError: it is not installed.
        """
        self._executable = find("azd", "https://aka.ms/azd")
        self._chosen = ["--environment", environment] if environment else []

    def set(self, name: str, value: str) -> None:
        """Keep a value in the environment; azd reads it when the hook has ended.

        Raises:
            CommandError: it failed.
        """
        run(self._executable, "env", "set", name, value, *self._chosen)

    def get(self, name: str) -> str:
        """A value of the environment.

        Raises:
            CommandError: it is not there.
        """
        return run(self._executable, "env", "get-value", name, *self._chosen).strip()
