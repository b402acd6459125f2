"""What the app says about itself."""

import logging
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import telemetry
from common.metrics import HISTOGRAMS, Metric
from common.version import VERSION
from tests.fakes import app_log


def test_fingerprint() -> None:
    """The first 16 hexadecimal digits of SHA-256, so that an operator can make one at a shell."""
    assert telemetry.fingerprint("abc") == "ba7816bf8f01cfea"


@given(st.text(st.characters()))
def test_any_fingerprint(secret: str) -> None:
    """Whatever it is made from, it is 16 digits, the same every time."""
    first, second = telemetry.fingerprint(secret), telemetry.fingerprint(secret)
    assert first == second
    assert len(first) == 16
    assert set(first) <= set("0123456789abcdef")


def test_line() -> None:
    """A line is one JSON object with the event and its fields; what is None is left out."""
    with app_log() as log:
        telemetry.log(logging.WARNING, "thing_happened", status=503, tracking_id=None, name="Zoë", ok=False)
    assert log.events("thing_happened") == [
        {
            "event": "thing_happened",
            "status": 503,
            "name": "Zoë",
            "ok": False,
            "level": "WARNING",
        }
    ]
    assert "\n" not in log.text


def test_version() -> None:
    """Every line says which release wrote it, after the event by which queries find it."""
    with app_log() as log:
        telemetry.log(logging.INFO, "thing_happened", status=503)
    assert log.text.startswith(f'{{"event": "thing_happened", "version": "{VERSION}"')


class Broken(logging.Handler):
    """As a handler of the worker is, whose settings are wrong."""

    def emit(self, record: logging.LogRecord) -> None:
        """Fail."""
        raise KeyError(record.name)


def test_broken_handler(capsys: pytest.CaptureFixture[str]) -> None:
    """A handler that fails stops nothing; the line goes to standard error."""
    logger, broken = logging.getLogger(telemetry.LOGGER_NAME), Broken()
    logger.addHandler(broken)
    try:
        telemetry.log(logging.ERROR, "thing_happened")
    finally:
        logger.removeHandler(broken)
    assert '{"event": "thing_happened"' in capsys.readouterr().err


def test_values_of_other_types() -> None:
    """What JSON does not know is written as text rather than lost."""
    with app_log() as log:
        telemetry.log(logging.INFO, "thing_happened", at=datetime(2026, 1, 31, tzinfo=UTC), of={1})
    (line,) = log.events("thing_happened")
    assert line["at"].startswith("2026-01-31")
    assert line["of"] == "{1}"


def test_percent_signs() -> None:
    """A value is never taken for a format."""
    with app_log() as log:
        telemetry.log(logging.INFO, "thing_happened", reason="100 %s %d", line="a\nb")
    assert log.events("thing_happened")[0]["reason"] == "100 %s %d"


def test_level() -> None:
    """What the logger does not take is not written."""
    with app_log() as log:
        logging.getLogger(telemetry.LOGGER_NAME).setLevel(logging.ERROR)
        telemetry.log(logging.WARNING, "thing_happened")
        telemetry.log(logging.ERROR, "worse_happened")
    assert (log.events("thing_happened"), len(log.events("worse_happened"))) == ([], 1)


def test_metric_names() -> None:
    """Every metric is named after the app, and the histograms are metrics."""
    assert all(metric.value.startswith("acs_call_push.") for metric in Metric)
    assert set(Metric) > HISTOGRAMS
