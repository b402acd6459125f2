"""`Retry-After` → seconds."""

from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from push.retry import retry_after_seconds
from tests.fakes import NOW

UNIX = NOW.timestamp()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("0", 0.0), ("1", 1.0), ("10", 10.0), (" 10 ", 10.0), ("007", 7.0), ("86400", 86_400.0)],
)
def test_seconds(header: str, seconds: float) -> None:
    """A number is one of seconds."""
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
    """An HTTP date counts from now; one that is past means at once, whatever zone it is in."""
    assert retry_after_seconds(header, UNIX) == seconds


def test_fraction_of_a_second() -> None:
    """The present need not be a whole second."""
    assert retry_after_seconds(format_datetime(NOW), UNIX - 0.25) == 0.25


@pytest.mark.parametrize(
    "header",
    ["", " ", "soon", "-1", "+1", "1.5", "1e3", "1_0", "٣", "²", "10 s", "Sun, 32 Jan 2100 12:00:00 GMT"],
)
def test_garbage(header: str) -> None:
    """What is neither counts as no header."""
    assert retry_after_seconds(header, UNIX) is None


def test_no_header() -> None:
    """No header, no wait."""
    assert retry_after_seconds(None, UNIX) is None


DATES = st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT"))


@given(
    st.text() | st.integers().map(str) | DATES | st.tuples(DATES, st.text()).map("".join), st.floats(0, 1e11)
)
def test_any_header(header: str, now: float) -> None:
    """Whatever the hub says, it is a number of seconds that is not negative, or nothing."""
    seconds = retry_after_seconds(header, now)
    assert seconds is None or seconds >= 0
