"""What `make run` keeps between runs, and the settings file of the running stack: `.local-data/`."""

import json
from collections.abc import Mapping
from pathlib import Path

from local.host.keys import EVENT_GRID_SYSTEM_KEY, KeyRing, KeyRingError
from local.stack import APP_DIRECTORY, FUNCTIONS

FOLDER = APP_DIRECTORY / ".local-data"


class KeptDataError(Exception):
    """A kept file cannot be used; the message says what to do."""


class KeptData:
    """Files that only their owner can read: they contain keys."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made if it does not exist."""
        self._keys_file = folder / "keys.json"
        self.settings_file = folder / "settings.json"
        """Exists while a stack runs."""

    def keys(self) -> KeyRing:
        """The access keys of the last run, with new ones for new functions; raises KeptDataError."""
        keys = self._read_keys().completed(FUNCTIONS)
        _write(self._keys_file, keys.to_json())
        return keys

    def write_settings(self, settings: Mapping[str, str]) -> None:
        """Write the settings in the form of local.settings.json."""
        _write(self.settings_file, json.dumps({"IsEncrypted": False, "Values": dict(settings)}, indent=2))

    def remove_settings(self) -> None:
        """Remove the file: its addresses are those of a stack that has stopped."""
        self.settings_file.unlink(missing_ok=True)

    def _read_keys(self) -> KeyRing:
        try:
            keys = KeyRing.from_json(self._keys_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return KeyRing.generate(system=[EVENT_GRID_SYSTEM_KEY])
        except (OSError, ValueError) as error:
            reason = error if isinstance(error, KeyRingError) else type(error).__name__
            raise KeptDataError(f"{self._keys_file} cannot be used ({reason}): delete it.") from None
        if EVENT_GRID_SYSTEM_KEY not in keys.system:
            raise KeptDataError(f"{self._keys_file} has no key {EVENT_GRID_SYSTEM_KEY}: delete it.")
        return keys


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(text + "\n", encoding="utf-8")
