"""What the workers' log says about results that were not recorded in time."""

import json
import threading
from collections import Counter

UNRECORDED = ("ledger_not_written", "ledger_written_late", "lease_lost")
"""Lines of the app after which another delivery of the event may not know what has rung."""


class WorkerLog:
    """Takes the lines of all workers; pass it to a stack as `on_line`. Each worker has threads of its own."""

    def __init__(self) -> None:
        self.unrecorded: Counter[str] = Counter()
        """Such lines by event id."""
        self._counting = threading.Lock()

    def __call__(self, _stream: str, line: str) -> None:
        """Count a line of either stream."""
        _, brace, fields = line.partition("{")
        if not brace or not any(f'"event": "{event}"' in fields for event in UNRECORDED):
            return
        event_id = str(json.loads(brace + fields)["event_id"])
        with self._counting:
            self.unrecorded[event_id] += 1
