"""What the documents name exists: files, headings, names of the code, commands.

`tests/unit/test_documented_az.py` holds the lines for `az`;
`tests/end_to_end/test_documented_examples.py` runs the examples.
"""

import json
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import metadata
from pathlib import Path

import pytest
import typer

import doctor.cli
import migrate.cli
from tests.documents import ROOT, Document, document, documents, project_files, rows
from tests.unit.test_project_files import targets
from tests.unit.test_requirements import DEPLOYED, FOLDER, requirements

each_document = pytest.mark.parametrize("page", documents(), ids=lambda page: page.name)


def is_history(page: Document) -> bool:
    """The changelog, notes on upgrades and replaced decisions may name what is gone."""
    return page.name in {"docs/upgrading.md", "CHANGELOG.md"} or "\nReplaced by [" in page.text


@cache
def names_of_code() -> frozenset[str]:
    """Every word of the project's files that are neither documents nor lock files nor examples of
    documents."""
    others = {".md", ".png", ".svg", ".txt", ".pyc"}
    paths = [
        path
        for path in project_files()
        if path.suffix not in others and path.name != "package-lock.json" and path != Path(__file__)
        if path.parent != ROOT / "docs" / "clients"
    ]
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in paths)
    return frozenset(name for text in texts for name in re.findall(r"[A-Za-z_]\w*", text))


class TestLinks:
    @each_document
    def test_files(self, page: Document) -> None:
        """Each relative link leads to a file or folder."""
        targets = [
            link.partition("#")[0]
            for link in page.links
            if "://" not in link and not link.startswith("mailto:")
        ]
        assert [target for target in targets if target and not (page.path.parent / target).exists()] == []

    @each_document
    def test_anchors(self, page: Document) -> None:
        """Each link to a heading names one."""
        missing = []
        for link in page.links:
            target, _, anchor = link.partition("#")
            if not anchor or "://" in link:
                continue
            path = (page.path.parent / target).resolve() if target else page.path
            if path.suffix == ".md" and anchor not in document(path.relative_to(ROOT).as_posix()).anchors:
                missing.append(link)
        assert missing == []


def test_json() -> None:
    """Each block that is called JSON is JSON; a fragment is not called so."""
    for page in documents():
        for block in page.blocks:
            if block.language == "json":
                json.loads(block.code)


def test_sequence_diagrams() -> None:
    """No text of a sequence diagram holds a semicolon, which ends a statement of Mermaid's."""
    blocks = [block.code for page in documents() for block in page.blocks if block.language == "mermaid"]
    assert len(blocks) > 2
    assert [code for code in blocks if code.startswith("sequenceDiagram") and ";" in code] == []


# Names in documents that no file of the project has: of Azure, of other libraries and of other platforms.
FOREIGN = {
    *(
        "IncomingCallListener",
        "handlePush",
        "handlePushNotification",
        "unregisterPushNotifications",
    ),  # the Calling SDK
    *("POST_NOTIFICATIONS", "SharedPreferences", "USE_FULL_SCREEN_INTENT", "onMessageReceived"),  # Android
    *("BGTaskSchedulerPermittedIdentifiers", "didUpdateCalls", "mustReport"),  # iOS
    *("JsonContent", "LoadIntoBufferAsync", "StringContent"),  # .NET
    "WrongToken",  # telemetry of Notification Hubs
    *("app_metadata", "user_metadata"),  # Auth0
    "requestedAccessTokenVersion",  # Entra ID
    *("lastDeliveryOutcome", "lastHttpStatusCode", "TimeToLiveExceeded"),  # dead letters of Event Grid
    *("FUNCTIONS_WORKER_PROCESS_COUNT", "PYTHON_FAST_BUILD_ENABLED"),  # Azure Functions
    "CURLINFO_SIZE_UPLOAD_T",  # libcurl
}


class TestNames:
    IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:__\w+)?")

    @each_document
    def test_exist(self, page: Document) -> None:
        """A name in a code span that looks like one of a program's is in the code, or known to be foreign."""
        if is_history(page):
            return
        names = {
            span
            for span in page.spans
            if self.IDENTIFIER.fullmatch(span) and re.search(r"_|[a-z0-9][A-Z]", span) and span not in FOREIGN
        }
        assert names - names_of_code() == set()

    def test_foreign_names_are_used(self) -> None:
        """The list of foreign names holds no name that no document has, or that the code has."""
        spans = {span for page in documents() for span in page.spans}
        assert FOREIGN - spans == set()

    @each_document
    def test_files(self, page: Document) -> None:
        """A path below a folder of the project exists; `*` stands for any name."""
        if is_history(page):
            return
        tops = {path.name for path in ROOT.iterdir() if path.is_dir()}
        paths = {span for span in page.spans if re.fullmatch(r"[\w.-]+/[\w./*-]*", span)}
        ours = {path for path in paths if path.partition("/")[0] in tops and not path.startswith(".venv")}
        assert {path for path in ours if not list(ROOT.glob(path.rstrip("/")))} == set()


class TestCommands:
    @staticmethod
    def _commands(page: Document) -> str:
        blocks = [block.code for block in page.blocks if block.language in ("", "sh", "bash", "console")]
        return "\n".join([*blocks, *page.spans]).replace("\\\n", " ")

    @each_document
    def test_make(self, page: Document) -> None:
        """Each `make TARGET` is one of the Makefile's."""
        named = set(re.findall(r"^\s*make ([\w./-]+)", self._commands(page), re.MULTILINE))
        assert named - targets() == set()

    @each_document
    def test_modules(self, page: Document) -> None:
        """Each `python -m MODULE` of ours exists."""
        named = set(re.findall(r"python3? -m ([\w.]+)", self._commands(page))) - {"pip", "venv"}
        paths = [ROOT / name.replace(".", "/") for name in named]
        assert [
            path
            for path in paths
            if not path.with_suffix(".py").exists() and not (path / "__main__.py").exists()
        ] == []

    @each_document
    def test_scripts(self, page: Document) -> None:
        """Each script that a command names exists."""
        named = set(re.findall(r"(?<![\w/.])((?:infra|tools|\.ci)/[\w./-]+)", self._commands(page)))
        assert [name for name in named if not (ROOT / name).exists()] == []

    @each_document
    def test_variables_of_azd(self, page: Document) -> None:
        """Each variable that azd is told to set is one that the templates or the hooks read."""
        if is_history(page):
            return
        named = set(re.findall(r"azd env set(?:-secret)? ([A-Z][A-Z0-9_]+)", self._commands(page))) - {"NAME"}
        paths = [ROOT / "infra" / "main.parameters.json", *(ROOT / "infra" / "scripts").glob("*.py")]
        known = set(re.findall(r"[A-Z][A-Z0-9_]+", "".join(path.read_text() for path in paths)))
        assert named - known == set()

    @pytest.mark.parametrize(
        ("spelling", "module"),
        [
            (r"call-push-doctor|python -m doctor|doctor", "doctor"),
            (r"call-push-migrate|python -m migrate", "migrate"),
            (r"python -m local(?=\s|$)", "local"),
            (r"python -m local\.event", "local.event"),
            (r"python -m local\.hub", "local.hub"),
            (r"python -m local\.soak", "local.soak"),
        ],
    )
    def test_options(self, spelling: str, module: str) -> None:
        """Each command and option of ours that a document names is in the command's help."""
        known = options_of(module)
        for page in documents():
            lines = re.findall(
                rf"^[^\n]*?(?:{spelling})((?: [^\n|&]+)?)$", self._commands(page), re.MULTILINE
            )
            for line in lines:
                words = line.split("#")[0].split("`")[0].split()
                options = {word.partition("=")[0] for word in words if word.startswith("--")}
                assert options - known == set(), (page.name, line)

    def test_doctor_commands(self) -> None:
        """Each command of the doctor that a document names is one of its commands."""
        known = {path.stem for path in (ROOT / "doctor" / "commands").glob("[a-z]*.py")}
        named = {
            word
            for page in documents()
            for word in re.findall(r"(?:call-push-doctor|python -m doctor) ([a-z]+)", self._commands(page))
        }
        assert named - known == set()
        assert named


TYPER_APPS = {"doctor": doctor.cli.app, "migrate": migrate.cli.app}


@cache
def options_of(module: str) -> frozenset[str]:
    """The options of a module's command line, those of its commands included."""
    if module in TYPER_APPS:
        program = typer.main.get_command(TYPER_APPS[module])
        commands = [program, *getattr(program, "commands", {}).values()]
        options = [name for command in commands for option in command.params for name in option.opts]
        return frozenset([*options, "--help"])
    shown = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    return frozenset(re.findall(r"--[a-z][a-z-]+", shown))


class TestLicences:
    def test_complete(self) -> None:
        """The list has every package that is deployed, and no other."""
        listed = [
            name.strip()
            for row in rows(document("THIRD-PARTY-LICENSES.md").text)
            for name in row[1].split(",")
        ]
        assert sorted(listed) == sorted(requirements(DEPLOYED))

    def test_licences(self) -> None:
        """The licence is the one that the package's metadata states, where they state an SPDX expression."""
        for licence, packages in rows(document("THIRD-PARTY-LICENSES.md").text):
            for package in packages.split(", "):
                stated = metadata(package).get("License-Expression")
                assert stated in (None, licence), package

    def test_development_tools(self) -> None:
        """The one tool under the GPL is named, and is not deployed."""
        assert "**GPL-2.0-only**" in document("THIRD-PARTY-LICENSES.md").text
        assert "secantusdb" in requirements(FOLDER / "dev.txt")
        assert "secantusdb" not in requirements(DEPLOYED)
