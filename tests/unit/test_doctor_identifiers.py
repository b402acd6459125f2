"""Ids as people paste them."""

import pytest

from doctor.checks.identifiers import pasted

MRI = "8:acs:Resource_Alice"


@pytest.mark.parametrize(
    "text",
    [
        MRI,
        f" {MRI}\n",
        f'"{MRI}"',
        f"'{MRI}',",
        f"\u201c{MRI}\u201d",
        f"`{MRI}`",
        f"\ufeff{MRI}\u200b",
        "8%3Aacs%3AResource_Alice",
        '"8%3aacs%3aResource_Alice"',
    ],
)
def test_pasted(text: str) -> None:
    """Quotes, white space, invisible characters and URL encoding go; letter case stays."""
    assert pasted(text) == MRI


@pytest.mark.parametrize("text", ["4:+491234", "a%b:c", "0d9b4a5e-1c1f-4a53-a0c8-1d1f5a3e2b11", "100%"])
def test_kept(text: str) -> None:
    """What only looks like it stays."""
    assert pasted(text) == text
