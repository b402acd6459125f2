"""The pages on settings and logs are complete: every setting, log event, field, result, code and metric."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import fields

import pytest
from pymongo.common import MIN_SUPPORTED_SERVER_VERSION

from common.metrics import HISTOGRAMS, Metric
from doctor.checks.call_summaries import CallState
from doctor.checks.device_summaries import DeviceState
from models.errors import ServiceError
from models.push import HUB_NOT_USABLE, UNUSABLE_TOKEN
from push.event_log import EndLine, EventLine, EventResult
from registrar.audit import Action
from settings import SECTIONS, parser_of, setting_names
from tests.documents import ROOT, coded, document, rows
from tests.unit.test_requirements import FOLDER

DEPLOYED_CODE = (
    "*.py",
    "common/**/*.py",
    "models/**/*.py",
    "push/**/*.py",
    "registrar/**/*.py",
    "health/**/*.py",
)


class TestIndex:
    def test_complete(self) -> None:
        """README's index leads to every page of docs/."""
        linked = {link.partition("#")[0] for link in document("README.md").links}
        pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
        assert pages - linked == set()


class TestArchitecture:
    def test_modules(self) -> None:
        """The page on the architecture names every module of the deployed code."""
        text = document("docs/architecture.md").section("Modules")
        named = {name for row in rows(text) for name in coded(row[0])}
        modules = {
            path for pattern in DEPLOYED_CODE for path in ROOT.glob(pattern) if path.name != "__init__.py"
        }
        ours = {path.relative_to(ROOT).as_posix() for path in modules}
        assert {name for name in ours if name not in named and name.partition("/")[2] not in named} == set()


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/operations.md"])
def test_collections(page: str) -> None:
    """The pages that say what is stored, and for how long, name every collection."""
    files = [
        *(ROOT / "registrar").glob("*.py"),
        *(ROOT / "push").rglob("*.py"),
        ROOT / "migrate" / "earlier_runs.py",
    ]
    names = {
        name
        for path in files
        for name in re.findall(r'^COLLECTION_NAME = "(\w+)"', path.read_text(), re.MULTILINE)
    }
    assert len(names) > 3
    assert names - set(document(page).spans) == set()


class TestFunctions:
    def test_docstring(self) -> None:
        """The docstring of `function_app.py` lists every function with its file."""
        listed = ast.get_docstring(ast.parse((ROOT / "function_app.py").read_text())) or ""
        files = {path for pattern in DEPLOYED_CODE for path in ROOT.glob(pattern)}
        functions = {
            name: path.relative_to(ROOT).as_posix()
            for path in files
            for name in re.findall(r'\.function_name\("(\w+)"\)', path.read_text())
        }
        assert len(functions) > 7
        for name, file in functions.items():
            assert re.search(rf"^[^\n]*\b{name}\b.* {re.escape(file)}$", listed, re.MULTILINE), name


class TestSettings:
    PAGE = "docs/settings.md"

    @classmethod
    def _documented(cls) -> dict[str, str]:
        """Defaults by name; a row of several names has a default for each."""
        found = {}
        for name, _, default in (row for row in rows(document(cls.PAGE).text) if len(row) == 3):
            names, defaults = coded(name), coded(default) or [""]
            for place, each in enumerate(names):
                found[each] = defaults[place] if len(defaults) == len(names) else defaults[0]
        return found

    def test_complete(self) -> None:
        """The page has every setting of the sample file, with the value that the file has, and no other."""
        sample = sample_settings()
        documented = self._documented()
        assert documented.keys() == sample.keys(), (
            "docs/settings.md needs a row for each setting of the sample"
        )
        shown = {name: value for name, value in documented.items() if value}
        assert {name: sample[name] for name in shown} == shown

    def test_ranges(self) -> None:
        """A row names the bounds of a number, apart from zero."""
        described = {coded(row[0])[0]: row[1] for row in rows(document(self.PAGE).text) if len(row) == 3}
        for section in SECTIONS:
            names = section.setting_names()
            for field in fields(section):
                for bound in filter(None, getattr(parser_of(field), "bounds", ())):
                    name = names[field.name][0]
                    assert re.search(rf"\b{bound:,}\b", described[name]), (name, bound)

    def test_of_the_code(self) -> None:
        """Every setting of the code is there."""
        assert set(setting_names()) - self._documented().keys() == set()


def sample_settings() -> dict[str, str]:
    values: dict[str, str] = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    return values


def logged_events() -> dict[str, set[str]]:
    """The names of the levels by event of each structured line that the deployed code writes."""
    found: dict[str, set[str]] = {}
    for pattern in DEPLOYED_CODE:
        for path in ROOT.glob(pattern):
            for level, event in _lines_of(ast.parse(path.read_text())):
                levels = found.setdefault(event, set())
                if isinstance(level, ast.Attribute) and ast.unparse(level.value) == "logging":
                    levels.add(level.attr)
    return found


def _lines_of(module: ast.Module) -> Iterator[tuple[ast.expr, str]]:
    """Level and event of each call that writes a line."""
    constants = {
        target.id: [node.value]
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for function in ast.walk(module):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            if not (isinstance(node, ast.Call) and _is_log(node.func)):
                continue
            level, event = node.args[:2]
            events: list[ast.expr] = [event.body, event.orelse] if isinstance(event, ast.IfExp) else [event]
            if isinstance(event, ast.Name):
                # A constant of the module, or the first argument of a function that writes lines.
                events = constants.get(event.id) or _first_arguments(module, function.name)
            for each in events:
                assert isinstance(each, ast.Constant), ast.unparse(each)
                yield level, str(each.value)


def _is_log(function: ast.expr) -> bool:
    return ast.unparse(function) in ("telemetry.log", "log")


def _first_arguments(module: ast.Module, name: str) -> list[ast.expr]:
    return [
        node.args[0]
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (name, f"self.{name}")
    ]


class TestLogging:
    PAGE = document("docs/logging.md")

    def _first_cells(self, heading: str) -> list[str]:
        section = re.split(r"^#+ ", self.PAGE.section(heading), flags=re.MULTILINE)[0]
        return [name for row in rows(section) for name in coded(row[0])]

    def test_events(self) -> None:
        """Every event of the log is there, with its level, and no other."""
        listed = {coded(row[0])[0]: row[1] for row in rows(self.PAGE.section("Other lines")) if len(row) == 4}
        events = logged_events()
        assert listed.keys() | {"incoming_call", "call_end"} == events.keys(), (
            "docs/logging.md needs a row for each"
        )
        for event, levels in events.items():
            assert {level for level in levels if event in listed and level not in listed[event]} == set(), (
                event
            )

    def test_alert(self) -> None:
        """What is CRITICAL raises the alert on misconfiguration, and its runbook explains what raises it."""
        query = (ROOT / "infra" / "alerts" / "misconfiguration.kql").read_text()
        alerted = set(re.findall(r'"(\w+)"', re.findall(r"line.event\) in \((.*?)\)", query, re.DOTALL)[0]))
        critical = {event for event, levels in logged_events().items() if "CRITICAL" in levels}
        assert critical - alerted == set()
        runbook = document("docs/operations.md").section("misconfiguration")
        explained = {name for row in rows(runbook) for name in coded(row[0])}
        assert alerted - explained == set()

    def test_fields(self) -> None:
        """The fields of both lines."""
        fields = {name for name in EventLine.__dataclass_fields__ if name != "results"} | {"total_ms"}
        assert set(self._first_cells("`incoming_call`")) == fields
        end = set(EndLine.__dataclass_fields__) | {"total_ms"}
        assert set(self._first_cells("`call_end`")) == end

    def test_results(self) -> None:
        """Every result."""
        assert set(self._first_cells("Results")) == {result.value for result in EventResult}

    def test_codes(self) -> None:
        """Every error code, with its HTTP status."""
        documented = {coded(row[0])[0]: row[1] for row in rows(self.PAGE.section("Error codes"))}
        ours = {error.code: error.http_status for error in errors()}
        assert documented.keys() == ours.keys() | {UNUSABLE_TOKEN, HUB_NOT_USABLE}
        for code, status in documented.items():
            assert not status.isdigit() or int(status) == ours[code], code

    def test_metrics(self) -> None:
        """Every metric, with its kind."""
        table = self.PAGE.section("Traces and metrics")
        documented = {coded(row[0])[0]: row[1] for row in rows(table) if len(row) == 4}
        kinds = {metric.value: "histogram, ms" if metric in HISTOGRAMS else "counter" for metric in Metric}
        assert documented == kinds

    def test_audit(self) -> None:
        """Every action of the audit."""
        assert set(self._first_cells("Audit")) == {action.value for action in Action}


def errors() -> Iterator[type[ServiceError]]:
    waiting = [ServiceError]
    while waiting:
        error = waiting.pop()
        waiting += error.__subclasses__()
        yield error


class TestObjective:
    """The numbers of docs/slo.md are those of the queries."""

    PAGE = document("docs/slo.md").text
    ALERT = (ROOT / "infra" / "alerts" / "slow-calls.kql").read_text()
    OBJECTIVE = (ROOT / "infra" / "workbook" / "objective.kql").read_text()

    def test_objective(self) -> None:
        """The share of calls, and the time to the first push."""
        (share,) = re.findall(r"let objective = 0\.(\d+);", self.ALERT)
        assert f"{int(share) / 10:g} %" in self.PAGE
        limits = set(re.findall(r"first_push_ms > (\d+)", self.ALERT + self.OBJECTIVE))
        assert [f"within {int(limit) // 1000} s of" in self.PAGE for limit in limits] == [True]

    def test_burn_rates(self) -> None:
        """Both burn rates with their windows, and how few slow calls are no alert."""
        rates = re.findall(r"allowed = ([\d.]+)", self.ALERT)
        shown = [re.sub(r"^more than ", "", row[0]) for row in rows(self.PAGE)]
        assert [float(rate) for rate in rates] == [float(rate) for rate in shown]
        assert "where slow >= 3 " in self.ALERT
        assert "at least three" in self.PAGE


class TestSupport:
    """The versions of docs/support.md are those that the project pins, demands or makes."""

    PAGE = document("docs/support.md").text

    @pytest.mark.parametrize("package", ["azure-functions-runtime", "azure-functions"])
    def test_worker(self, package: str) -> None:
        """The worker and its library."""
        pinned = re.findall(rf"^{package}==(\S+)", (FOLDER / "app.txt").read_text(), re.MULTILINE)
        assert [f"`{package}` {version}" in self.PAGE for version in pinned] == [True]

    def test_host(self) -> None:
        """The extension bundle."""
        bundle = json.loads((ROOT / "host.json").read_text())["extensionBundle"]["version"]
        assert f"extension bundle `{bundle}`" in self.PAGE

    def test_azd(self) -> None:
        """What azure.yaml demands."""
        (version,) = re.findall(r'azd: ">= (\S+)"', (ROOT / "azure.yaml").read_text())
        assert f"| azd | {version} and later" in self.PAGE

    def test_databases(self) -> None:
        """The oldest server that the driver speaks to, and the version of a new cluster."""
        assert f"| MongoDB | {MIN_SUPPORTED_SERVER_VERSION} and later" in self.PAGE
        template = (ROOT / "infra" / "modules" / "database.bicep").read_text()
        (version,) = re.findall(r"serverVersion: '(\S+)'", template)
        assert f"server version {version};" in self.PAGE


class TestDoctor:
    PAGE = document("docs/troubleshooting.md")

    def _said(self, heading: str) -> set[str]:
        """The first column of the section's tables, each of its words or phrases."""
        return {name for row in rows(self.PAGE.section(heading)) for name in row[0].split(", ")}

    def test_calls(self) -> None:
        """The page explains everything that `call` says of a call."""
        assert {state.value for state in CallState} - self._said("What became of one call") == set()

    def test_devices(self) -> None:
        """The page explains everything that `user` says of a device."""
        assert {state.value for state in DeviceState} - self._said("The registration") == set()
