"""Schedules of timer functions: what they mean, when they are due next, and what is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.host.next_occurrence import next_occurrence
from models.ncrontab import Ncrontab

NOW = datetime(2026, 11, 25, 21, 50, 30, tzinfo=UTC)  # a Wednesday

DUE: dict[str, datetime | None] = {
    "0 7 * * * *": datetime(2026, 11, 25, 22, 7, tzinfo=UTC),
    "7 * * * *": datetime(2026, 11, 25, 22, 7, tzinfo=UTC),
    "  0  7 * * *  * ": datetime(2026, 11, 25, 22, 7, tzinfo=UTC),
    "* * * * * *": datetime(2026, 11, 25, 21, 50, 31, tzinfo=UTC),
    "*/20 * * * * *": datetime(2026, 11, 25, 21, 50, 40, tzinfo=UTC),
    "30 50 21 * * *": datetime(2026, 11, 26, 21, 50, 30, tzinfo=UTC),
    "31 50 21 * * *": datetime(2026, 11, 25, 21, 50, 31, tzinfo=UTC),
    "0 0 9-17/4 * * *": datetime(2026, 11, 26, 9, tzinfo=UTC),
    "0 0 17-9 * * *": datetime(2026, 11, 26, 9, tzinfo=UTC),
    "0 0 0 * * mon,fri": datetime(2026, 11, 27, tzinfo=UTC),
    "0 0 0 * * 0": datetime(2026, 11, 29, tzinfo=UTC),
    "0 0 0 1 january *": datetime(2027, 1, 1, tzinfo=UTC),
    "0 0 0 13 * Fri": datetime(2027, 8, 13, tzinfo=UTC),
    "0 0 0 29 2 *": datetime(2028, 2, 29, tzinfo=UTC),
    "0 0 0 31 2 *": None,
    "0 30/10 * * * *": datetime(2026, 11, 25, 22, 30, tzinfo=UTC),
}


@pytest.mark.parametrize(("text", "due"), DUE.items(), ids=DUE.keys())
def test_next_occurrence(text: str, due: datetime | None) -> None:
    """A time has to match every field, the day of the week too."""
    assert next_occurrence(Ncrontab.parse(text), NOW) == due


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "six fields"),
        ("* * * *", "six fields"),
        ("* * * * * * *", "six fields"),
        ("60 * * * * *", "the field second takes 0 to 59"),
        ("0 0 24 * * *", "the field hour"),
        ("0 0 0 0 * *", "the field day "),
        ("0 0 0 * 13 *", "the field month"),
        ("0 0 0 * * 7", "the field day of the week"),
        ("0 0 0 * * someday", "names such as sun"),
        ("*/0 * * * * *", "steps such as"),
        ("-1 * * * * *", "ranges"),
        ("1, * * * * *", "ranges"),
        ("%FeedbackSchedule%", "six fields"),
        ("none", "six fields"),
        ("0 0 0 L * *", "day "),
        ("٣ * * * * *", "ranges"),
    ],
)
def test_refused(text: str, words: str) -> None:
    """The message says what is wrong."""
    with pytest.raises(ValueError, match=words):
        Ncrontab.parse(text)


@given(st.text(alphabet="0123456789*,-/ %abcdejnuLW?#\n\t", max_size=40))
def test_any_text(text: str) -> None:
    """Any text is a schedule or refused; a schedule has at least one value in each field."""
    try:
        schedule = Ncrontab.parse(text)
    except ValueError:
        return
    assert min(len(schedule.seconds), len(schedule.minutes), len(schedule.hours)) > 0
    assert min(len(schedule.days), len(schedule.months), len(schedule.days_of_week)) > 0


FIELDS = st.tuples(
    st.sampled_from(["*", "0", "30", "*/7", "5-10", "59,1"]),
    st.sampled_from(["*", "0", "7", "*/13", "58-59"]),
    st.sampled_from(["*", "0", "23", "8-9"]),
    st.sampled_from(["*", "1", "28-31", "*/9"]),
    st.sampled_from(["*", "feb", "11,12", "*/5"]),
    st.sampled_from(["*", "mon-fri", "0", "6"]),
)


@given(FIELDS, st.integers(0, 90_000))
def test_matches_and_is_the_first(fields: tuple[str, ...], seconds: int) -> None:
    """What is due next matches, is later, and no earlier moment of the next two hours matches."""
    schedule, after = Ncrontab.parse(" ".join(fields)), NOW + timedelta(seconds=seconds)
    due = next_occurrence(schedule, after)
    if due is None:
        return
    assert due > after
    assert matches(schedule, due)
    before = [after + timedelta(seconds=each) for each in range(1, 7_200, 61)]
    assert not any(matches(schedule, moment) for moment in before if moment < due)


def matches(schedule: Ncrontab, moment: datetime) -> bool:
    """Written down apart from the code under test."""
    return (
        moment.second in schedule.seconds
        and moment.minute in schedule.minutes
        and moment.hour in schedule.hours
        and moment.day in schedule.days
        and moment.month in schedule.months
        and int(moment.strftime("%w")) in schedule.days_of_week
    )
