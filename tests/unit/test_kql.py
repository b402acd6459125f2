"""The check of the KQL queries: what it finds, and where it looks."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECK = ROOT / "tools" / "kql" / "check.mjs"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(
    NODE is None or not (CHECK.parent / "node_modules").exists(),
    reason="Microsoft's KQL parser is not installed: make check-kql",
)

GOOD = "AppTraces\n| where Message has 'call'\n| project TimeGenerated\n"


def check(folder: Path) -> tuple[int, list[str]]:
    """Exit code, and what it prints."""
    assert NODE
    done = subprocess.run(
        [NODE, str(CHECK), str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_ours() -> None:
    """No query of the project has an error."""
    assert check(ROOT) == (0, [])


@pytest.mark.parametrize(
    ("wrong", "line", "message"),
    [
        ("AppTraces\n| where Mesage has 'call'\n", 2, "'Mesage' does not refer to any known column"),
        ("AppTrace\n", 1, "'AppTrace' does not refer"),
        (
            "AppTraces\n| extend x =\n    tostrin(Message)\n",
            3,
            "'tostrin' does not refer to any known function",
        ),
        ("AppTraces\n| wher Message == ''\n", 2, "Query operator expected"),
    ],
)
def test_wrong(tmp_path: Path, wrong: str, line: int, message: str) -> None:
    """An unknown column, table or function is named with file and line, in files and in documents."""
    (tmp_path / "alert.kql").write_text(wrong)
    code, said = check(tmp_path)
    assert code == 1
    assert said[0].startswith(f"alert.kql:{line}: ")
    assert message in said[0]
    (tmp_path / "alert.kql").unlink()
    (tmp_path / "page.md").write_text(f"# Page\n\n```kusto\n{GOOD}```\n\n```kusto\n{wrong}```\n")
    code, said = check(tmp_path)
    assert code == 1
    assert said[0].startswith(f"page.md:{9 + line}: ")


def test_nothing_to_check(tmp_path: Path) -> None:
    """A folder without queries is a mistake: most likely the wrong folder."""
    assert check(tmp_path)[0] == 1
