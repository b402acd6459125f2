"""The client guide's code keeps what it has to keep where the guide's words say."""

import re

import pytest

from tests.documents import document


@pytest.mark.parametrize(
    ("heading", "place"),
    [
        ("iOS", "kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly"),
        ("Android", "Context.getNoBackupFilesDir()"),
    ],
)
def test_device_uuid_stays_on_the_phone(heading: str, place: str) -> None:
    """No backup carries it to a second phone, which would take the first one's calls and leave it silent."""
    sections = re.split(r"^## ", document("docs/clients.md").text, flags=re.MULTILINE)
    (section,) = (each for each in sections if each.startswith(f"{heading}\n"))
    assert place in section
