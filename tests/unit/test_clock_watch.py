"""Whether our clock agrees with the hub's: the `Date` header of its answers."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.clock_watch import LARGEST_SKEW_SECONDS, ClockWatch, ahead_seconds
from tests.fakes import app_log

HUB = 1_800_000_000
DATE = formatdate(HUB, usegmt=True)


class TestDifference:
    @pytest.mark.parametrize("ahead", [-3_600.0, -61.0, -1.0, 0.0, 1.0, 61.0, 3_600.0])
    def test_ahead(self, ahead: float) -> None:
        """The header has whole seconds, so half a second either way is all that can be known."""
        assert ahead_seconds(DATE, HUB + ahead, HUB + ahead) == pytest.approx(ahead, abs=0.5)

    def test_middle_of_the_exchange(self) -> None:
        """The header was written somewhere between request and answer."""
        assert ahead_seconds(DATE, HUB, HUB + 4) == pytest.approx(2, abs=0.5)

    @pytest.mark.parametrize("date", [None, "", "soon", "Sun, 32 Jan 2100 12:00:00 GMT", "9" * 400])
    def test_unknown(self, date: str | None) -> None:
        """Without a date that can be read, nothing is known."""
        assert ahead_seconds(date, HUB, HUB) is None

    @given(st.text() | st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT")))
    def test_any_header(self, date: str) -> None:
        """No header raises."""
        ahead_seconds(date, HUB, HUB)


class TestWatch:
    @pytest.mark.parametrize("ahead", [61.0, -61.0, 3_600.0])
    def test_off(self, ahead: float) -> None:
        """A difference is remembered, and logged with what to do: once, however often it is found."""
        watch = ClockWatch()
        with app_log() as log:
            for second in range(3):
                watch.compare(
                    formatdate(HUB + second, usegmt=True), HUB + second + ahead, HUB + second + ahead
                )
        assert watch.off_by_seconds == pytest.approx(ahead, abs=0.5)
        (line,) = log.events("clock_off")
        assert line["ahead_seconds"] == pytest.approx(ahead, abs=0.5)
        assert "Restart" in line["remedy"]

    @pytest.mark.parametrize("ahead", [0.0, LARGEST_SKEW_SECONDS, -LARGEST_SKEW_SECONDS])
    def test_right(self, ahead: float) -> None:
        """A small difference is none."""
        watch = ClockWatch()
        with app_log() as log:
            watch.compare(DATE, HUB + ahead, HUB + ahead)
        assert (watch.off_by_seconds, log.events("clock_off")) == (None, [])

    def test_slow_answer(self) -> None:
        """A slow answer leaves it open when the header was written: only what is certain counts."""
        watch = ClockWatch()
        watch.compare(DATE, HUB - 0.5, HUB + 15)
        assert watch.off_by_seconds is None

    def test_corrected(self) -> None:
        """Once the clock is right again, nothing is told any more."""
        watch = ClockWatch()
        watch.compare(DATE, HUB + 61, HUB + 61)
        watch.compare(formatdate(HUB + 1, usegmt=True), HUB + 1, HUB + 1)
        assert watch.off_by_seconds is None

    def test_nothing_known(self) -> None:
        """An answer without a usable date changes nothing."""
        watch = ClockWatch()
        watch.compare(DATE, HUB + 61, HUB + 61)
        watch.compare(None, HUB, HUB)
        watch.compare("soon", HUB, HUB)
        assert watch.off_by_seconds is not None
