"""When a schedule is due next (pure)."""

from datetime import UTC, date, datetime, time, timedelta

from models.ncrontab import Ncrontab

_CALENDAR_DAYS = 146_097
"""The Gregorian calendar repeats after 400 years."""


def next_occurrence(schedule: Ncrontab, after: datetime) -> datetime | None:
    """The first moment after `after` (UTC) at which the schedule is due; None for the likes of 31 February.

    It has no fraction of a second.
    """
    today = after.date()
    later = _later_that_day(schedule, after) if _includes(schedule, today) else None
    if later is not None:
        return datetime.combine(today, later)
    first = time(min(schedule.hours), min(schedule.minutes), min(schedule.seconds), tzinfo=UTC)
    days = (today + timedelta(days=offset) for offset in range(1, _CALENDAR_DAYS + 1))
    return next((datetime.combine(day, first) for day in days if _includes(schedule, day)), None)


def _later_that_day(schedule: Ncrontab, after: datetime) -> time | None:
    # Whole hours and minutes that are over are skipped: a schedule may have 86,400 times a day.
    for hour in sorted(schedule.hours):
        if hour < after.hour:
            continue
        for minute in sorted(schedule.minutes):
            if (hour, minute) < (after.hour, after.minute):
                continue
            for second in sorted(schedule.seconds):
                if (hour, minute, second) > (after.hour, after.minute, after.second):
                    return time(hour, minute, second, tzinfo=UTC)
    return None


def _includes(schedule: Ncrontab, day: date) -> bool:
    weekday = day.isoweekday() % 7
    return day.day in schedule.days and day.month in schedule.months and weekday in schedule.days_of_week
