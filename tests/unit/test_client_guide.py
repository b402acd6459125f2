"""The client guide's code keeps what it has to keep where the guide's words say."""

import re

import pytest

from tests.documents import ROOT, document


@pytest.mark.parametrize(
    ("heading", "place"),
    [
        ("iOS", "kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly"),
        ("Android", "Context.getNoBackupFilesDir()"),
    ],
)
def test_device_uuid_stays_on_the_phone(heading: str, place: str) -> None:
    """No backup carries it to a second phone, which would take the first one's calls and leave it silent."""
    section = document("docs/clients.md").section(heading)
    files = re.findall(r"\]\((clients/\w+\.\w+)\)", section)
    assert files
    assert place in section + "".join((ROOT / "docs" / file).read_text() for file in files)


def test_every_file_is_linked() -> None:
    """The guide leads to each file of code."""
    files = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs" / "clients").iterdir()}
    assert files - set(document("docs/clients.md").links) == set()
