"""docs/reliability.md shows what each fault of the world costs, as the tests hold it."""

from itertools import dropwhile, takewhile
from pathlib import Path

from tests.integration import (
    test_faults_clock,
    test_faults_database,
    test_faults_hub,
    test_faults_identity,
    test_faults_ledger,
    test_faults_name_server,
    test_faults_network,
    test_faults_settings,
)

RELIABILITY = Path(__file__).parents[2] / "docs" / "reliability.md"

ROWS = (
    *test_faults_name_server.ROWS,
    *test_faults_settings.ROWS,
    *test_faults_database.ROWS,
    *test_faults_identity.ROWS,
    *test_faults_ledger.ROWS,
    *test_faults_network.ROWS,
    *test_faults_hub.ROWS,
    *test_faults_clock.ROWS,
)


def test_documentation_shows_the_faults() -> None:
    """The table has these rows, in this order, and no other."""
    lines = RELIABILITY.read_text().splitlines()
    table = dropwhile(lambda line: not line.startswith("| fault |"), lines)
    published = list(takewhile(lambda line: line.startswith("|"), table))
    assert published[2:] == [row.published_line() for row in ROWS]


def test_every_fault_has_one_row() -> None:
    """No two rows speak of the same fault."""
    assert len({row.fault for row in ROWS}) == len(ROWS)
