"""What the page takes from a host's output, and the form of its commands."""

import json

import pytest

from local.hub.faults import Fault
from local.page.commands import BadCommandError, PlaceCall, RegisterPhone, SetHubMode, parse_command
from local.page.host_lines import HostLines


class TestHostLines:
    @pytest.mark.parametrize(
        "line",
        [
            "",
            "Stopping",
            "2026-01-31 12:00:00,123 INFO    acs_call_push: no JSON",
            "2026-01-31 12:00:00,123 INFO    acs_call_push: {broken}",
            '2026-01-31 12:00:00,123 INFO    another.logger: {"event": "x"}',
        ],
    )
    def test_other_lines_are_left_out(self, line: str) -> None:
        """Lines that are not structured lines of the app are dropped."""
        lines = HostLines()
        lines("stderr", line)
        assert lines.lines() == []

    def test_listener(self) -> None:
        """The start and the end of an invocation and every structured line call the listener."""
        lines, heard = HostLines(), []
        lines.listen(lambda: heard.append(1))
        lines("stderr", "… local.host: Executing 'Functions.AddDeviceToken' (Id=1)")
        lines("stderr", "… local.host: Executed 'Functions.AddDeviceToken' (Succeeded, Id=1, Duration=3ms)")
        lines("stderr", '2026-01-31 12:00:00,123 INFO    acs_call_push: {"event": "x"}')
        lines("stderr", "Stopping")
        assert len(heard) == 3

    def test_removed_listener(self) -> None:
        """A removed listener is not called."""
        lines, heard = HostLines(), []
        lines.listen(lambda: heard.append(1))
        lines.listen(None)
        lines("stderr", '2026-01-31 12:00:00,123 INFO    acs_call_push: {"event": "x"}')
        assert heard == []

    def test_spans(self) -> None:
        """A span is read from stdout; a broken one, and one on stderr, is dropped."""
        lines = HostLines()
        values = {
            "trace": "t",
            "id": "s",
            "name": "direct send",
            "start": 1.0,
            "end": 1.5,
            "attributes": {"a": 1},
        }
        written = json.dumps({"span": values})
        for stream, text in (
            ("stdout", written),
            ("stderr", written),
            ("stdout", '{"span": {}}'),
            ("stdout", '{"span": '),
        ):
            lines(stream, text)
        (span,) = lines.spans()
        assert (span.trace, span.name, span.milliseconds) == ("t", "direct send", 500)
        assert lines.lines() == []


class TestCommands:
    @pytest.mark.parametrize(
        ("mode", "expected"),
        [
            ("healthy", None),
            ("slow", Fault(kind="slow", delay_seconds=2.6, times=2)),
            ("throttled", Fault(kind="status", status=429, retry_after="3", times=2)),
            ("failing", Fault(kind="status", status=503, times=2)),
            ("lost", Fault(kind="accept_then_drop", times=2)),
        ],
    )
    def test_modes(self, mode: str, expected: Fault | None) -> None:
        """Each mode is one fault of the simulator."""
        command = parse_command(SetHubMode, json.dumps({"mode": mode, "times": 2, "seconds": 2.6}).encode())
        assert command.fault() == expected

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"[]", b"{}", b'{"callee": 1}', b'{"callee": "a", "more": 1}',
            b'{"callee": "a", "ageSeconds": 1e9}',
            b'{"callee": "a", "schemaName": "other"}',
        ],
    )  # fmt: skip
    def test_malformed_call(self, body: bytes) -> None:
        """A malformed call is refused."""
        with pytest.raises(BadCommandError):
            parse_command(PlaceCall, body)

    def test_refusal_quotes_nothing(self) -> None:
        """A refusal names the field and does not quote the value."""
        with pytest.raises(BadCommandError, match="platform") as refused:
            parse_command(RegisterPhone, b'{"acsMri": "8:acs:a", "platform": "sesame"}')
        assert "sesame" not in str(refused.value)
