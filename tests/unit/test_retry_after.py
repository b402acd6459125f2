"""`Retry-After` → seconds."""

from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from push.hub.answers import retry_after_seconds
from tests.fakes import NOW

UNIX = NOW.timestamp()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("10", 10.0),
        (" 10 ", 10.0),
        ("007", 7.0),
        ("86400", 86_400.0),
        ("1.5", 1.5),
        ("0.25", 0.25),
        ("2.0", 2.0),
    ],
)
def test_seconds(header: str, seconds: float) -> None:
    """A number counts seconds. RFC 9110 allows whole ones only, but decimals have been seen."""
    assert retry_after_seconds(header, UNIX) == seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Sun, 31 Jan 2100 12:00:07 GMT", 7.0),
        ("Sunday, 31-Jan-00 12:00:07 GMT", 0.0),
        ("Sun Jan 31 12:01:00 2100", 60.0),
        ("Sun, 31 Jan 2100 12:00:00 GMT", 0.0),
        ("Sun, 31 Jan 2100 11:59:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Sun, 31 Jan 2100 14:00:07 +0200", 7.0),
        ("Sun, 31 Jan 2100 12:00:07 -0000", 7.0),
    ],
)
def test_date(header: str, seconds: float) -> None:
    """An HTTP date counts from now, in any time zone; a past one means at once."""
    assert retry_after_seconds(header, UNIX) == seconds


def test_fraction_of_a_second() -> None:
    """Now need not be a whole second."""
    assert retry_after_seconds(format_datetime(NOW), UNIX - 0.25) == 0.25


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "soon",
        "-1",
        "+1",
        "-1.5",
        "1.",
        ".5",
        "1,5",
        "1.5.2",
        "1e3",
        "1_0",
        "٣",
        "²",
        "inf",
        "nan",
        "10 s",
        "Sun, 32 Jan 2100 12:00:00 GMT",
    ],
)
def test_garbage(header: str) -> None:
    """Anything else counts as no header."""
    assert retry_after_seconds(header, UNIX) is None


def test_no_header() -> None:
    """No header, no wait."""
    assert retry_after_seconds(None, UNIX) is None


DATES = st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT"))


@given(
    st.text()
    | st.integers().map(str)
    | st.floats().map(str)
    | DATES
    | st.tuples(DATES, st.text()).map("".join),
    st.floats(0, 1e11),
)
def test_any_header(header: str, now: float) -> None:
    """For every header the result is a number of seconds that is not negative, or None."""
    seconds = retry_after_seconds(header, now)
    assert seconds is None or seconds >= 0
