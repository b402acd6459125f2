"""An `az` and an `azd` that record what they are asked and answer from a list."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parents[2] / "infra" / "scripts"

# Answers a call by the first answer whose words it has all. An answer fails as often as it says, with what it
# then prints; files that are handed over are recorded with their content. A call without an answer fails.
_FAKE = """#!{python}
import json, sys
from pathlib import Path
folder = Path({folder!r})
arguments = sys.argv[1:]
files = {{a[1:]: json.loads(Path(a[1:]).read_text()) for a in arguments if a.startswith("@")}}
with (folder / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps({{"arguments": arguments, "files": list(files.values())}}) + "\\n")
answers = json.loads((folder / "answers.json").read_text())
def has(word):
    return any(a == word or "/" in word and a.endswith(word) for a in arguments)
for answer in answers:
    if all(has(word) for word in answer["words"].split()):
        if answer["failures"] > 0:
            answer["failures"] -= 1
            (folder / "answers.json").write_text(json.dumps(answers))
            sys.exit(answer["error"])
        print(answer["prints"])
        sys.exit(0)
sys.exit("az: no answer for " + " ".join(arguments))
"""

ALWAYS = 1_000
"""Failures of an answer that never succeeds."""


@dataclass(frozen=True)
class Call:
    """One call of `az` or `azd`."""

    arguments: list[str]
    files: list[Any]
    """The JSON of the files that it was handed."""

    def option(self, name: str) -> str:
        """What follows an option."""
        return self.arguments[self.arguments.index(name) + 1]


@dataclass
class FakeAzure:
    """Both commands, in a folder that comes first on the PATH."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    _answers: list[dict[str, Any]] = field(default_factory=list)

    def answers(
        self, words: str, prints: object = "", *, failures: int = 0, error: str = "az: not yet"
    ) -> None:
        """Answer calls that have these words; what was said last counts.

        Args:
            words: each is an argument, or the end of one where it holds a slash.
            prints: text, or what is printed as JSON.
            failures: how often it fails before.
            error: what a failure prints on stderr.
        """
        text = prints if isinstance(prints, str) else json.dumps(prints)
        self._answers.insert(0, {"words": words, "prints": text, "failures": failures, "error": error})

    def refuses(self, words: str, code: str, *, status: str = "Not Found") -> None:
        """Fail as `az rest` does on an error of Resource Manager."""
        body = json.dumps({"error": {"code": code, "message": f"{code}: this is why"}})
        self.answers(words, failures=ALWAYS, error=f"ERROR: {status}({body})")

    def run(self, script: str, *arguments: str, tools: tuple[str, ...] = ("az", "azd")) -> "Done":
        """Run a script as azd does: in its folder, with azd's environment."""
        (self.folder / "answers.json").write_text(json.dumps(self._answers))
        (self.folder / "calls.jsonl").write_text("")
        for tool in ("az", "azd"):
            fake = self.folder / tool
            fake.unlink(missing_ok=True)
            if tool in tools:
                fake.write_text(_FAKE.format(python=sys.executable, folder=str(self.folder)))
                fake.chmod(0o755)
        done = subprocess.run(
            [sys.executable, script, *arguments],
            cwd=SCRIPTS,
            env={"PATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def calls(self, words: str = "") -> list[Call]:
        """The calls that have these words, in order."""
        lines = (self.folder / "calls.jsonl").read_text().splitlines()
        calls = [Call(**json.loads(line)) for line in lines]
        return [call for call in calls if all(word in " ".join(call.arguments) for word in words.split())]

    def kept(self) -> dict[str, str]:
        """What was kept in azd's environment."""
        calls = [call.arguments for call in self.calls("env set")]
        assert all(call[4:] == ["--environment", self.environment["AZURE_ENV_NAME"]] for call in calls)
        return {call[2]: call[3] for call in calls}

    def recorded(self) -> str:
        """Everything that the commands were handed."""
        return (self.folder / "calls.jsonl").read_text()


@dataclass(frozen=True)
class Done:
    """How a script ended."""

    code: int
    out: str
    err: str


def without(environment: dict[str, str], name: str) -> dict[str, str]:
    """The environment without one variable."""
    return {key: value for key, value in environment.items() if key != name}
