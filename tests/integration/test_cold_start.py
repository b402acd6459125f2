"""A cold start imports what every call needs and no more, since a phone does not ring meanwhile."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from local.database import EmbeddedDatabase
from local.hub.running_hub import RunningHub
from tests.rig import Instance, call_to, new_user, settings_for

ROOT = Path(__file__).parents[2]

NOT_FOR_A_RING = (
    # Other functions, and settings that are not set.
    "registrar.registrations", "registrar.reports", "registrar.access", "registrar.rate", "registrar.audit",
    "registrar.dead_registrations", "models.requests", "models.validation", "health.readiness",
    "push.dead_devices", "push.feedback_marks", "push.hub.feedback", "push.hub.feedback_container",
    "common.entra_id", "common.access_tokens", "models.ncrontab",
    # Packages that they use, and what only exports telemetry.
    "pydantic", "pydantic_core", "requests", "urllib3", "jwt", "defusedxml", "msal", "azure.identity",
    "opentelemetry.sdk", "azure.monitor",
)  # fmt: skip

_LOADED = "import json, sys; print(json.dumps(sorted(sys.modules)))"
_RING = """
import sys
from function_app import parts
from push.trigger import handle_event
handle_event(sys.stdin.read(), lambda: parts.event_handler, parts.settings_grace)
parts.close()
"""


def modules_loaded_by(program: str, settings: Mapping[str, str], given: str = "") -> set[str]:
    """The modules that a new process has loaded at the end of the program."""
    kept = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    ended = subprocess.run(
        [sys.executable, "-c", f"{program}\n{_LOADED}"],
        cwd=ROOT,
        env={**kept, "NO_PROXY": "127.0.0.1", **settings},
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(ended.stdout.splitlines()[-1]))


def superfluous(loaded: set[str]) -> list[str]:
    """What of it no ring needs."""
    return [name for name in NOT_FOR_A_RING if name in loaded]


def test_names_exist() -> None:
    """The list names modules that there are: it would hold nothing after one is renamed."""
    assert superfluous(modules_loaded_by(f"import {', '.join(NOT_FOR_A_RING)}", {})) == list(NOT_FOR_A_RING)


def test_import() -> None:
    """What the worker imports to find the functions, without a setting of the app's own."""
    loaded = modules_loaded_by("import function_app", {})
    assert "push.trigger" in loaded
    assert superfluous(loaded) == []


def test_garbage_collection() -> None:
    """It leaves out what has been imported: a call would wait for it."""
    program = "import function_app, gc; assert gc.get_freeze_count() > 20 * len(gc.get_objects())"
    modules_loaded_by(program, {})


def test_first_call(hub: RunningHub, database: EmbeddedDatabase) -> None:
    """Nor does the first call of a process import it. What that call needs is imported before a phone could
    ring."""
    with Instance(hub, database.uri) as app:
        devices = app.register(user := new_user(), 3)
        settings = settings_for(hub, database.uri, app.database_name, {})
        before = modules_loaded_by("import function_app", settings)
        after = modules_loaded_by(_RING, settings, json.dumps(call_to(user)))
        assert [app.rings(device) for device in devices] == [1, 1, 1]
    assert superfluous(after) == []
    own = ("common", "models", "push", "registrar", "health")
    assert [name for name in after - before if name.partition(".")[0] in own] == []
