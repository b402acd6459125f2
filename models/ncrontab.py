"""A timer's schedule in the form of Azure Functions, NCRONTAB (pure).

Six fields: second, minute, hour, day, month, day of the week; with five there is no second. A time has to
match every field: other than in cron, a day that is named by its number *and* its day of the week. What
NCrontab reads in odd ways (a step of 0, a sign before a number) is refused here.

Sources: https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions;
https://github.com/atifaziz/NCrontab, which the Functions host parses schedules with.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")

_ELEMENT = re.compile(
    r"(?:(?P<all>\*)|(?P<first>[0-9]{1,4}|[a-z]+)(?:-(?P<last>[0-9]{1,4}|[a-z]+))?)(?:/(?P<step>[0-9]{1,4}))?"
)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    lowest: int
    highest: int
    names: Sequence[str] = ()
    """Of its values, from the lowest on; any beginning of a name will do, and the first that matches
    counts."""

    def parse(self, text: str) -> frozenset[int]:
        return frozenset(value for element in text.split(",") for value in self._element(element))

    def _element(self, text: str) -> Iterator[int]:
        found = _ELEMENT.fullmatch(text.lower())
        if found is None or (found["step"] is not None and int(found["step"]) == 0):
            raise ValueError(
                f"the field {self.name} must be *, numbers, ranges and steps such as 1-5 or */10"
            )
        first = self.lowest if found["all"] else self._value(found["first"])
        if found["last"]:
            last = self._value(found["last"])
        else:
            last = first if not found["all"] and not found["step"] else self.highest
        # A range may be written in either direction.
        return iter(range(min(first, last), max(first, last) + 1, int(found["step"] or 1)))

    def _value(self, text: str) -> int:
        if text.isdigit():
            value = int(text)
        else:
            named = (number for number, name in enumerate(self.names, self.lowest) if name.startswith(text))
            value = next(named, -1)
        if not self.lowest <= value <= self.highest:
            names = f" or names such as {self.names[0][:3]}" if self.names else ""
            raise ValueError(f"the field {self.name} takes {self.lowest} to {self.highest}{names}")
        return value


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _DAYS),
)


@dataclass(frozen=True, slots=True)
class Ncrontab:
    """The values that each field of a time may have."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    days_of_week: frozenset[int]
    """0 is Sunday."""

    @classmethod
    def parse(cls, text: str) -> "Ncrontab":
        """Read an expression such as `0 7 * * * *`, which is seven minutes past each hour.

        Raises:
            ValueError: it is not one; the message says what is wrong and does not quote it.
        """
        fields = [field for field in text.split(" ") if field]
        if len(fields) == len(_FIELDS) - 1:
            fields = ["0", *fields]
        if len(fields) != len(_FIELDS):
            names = ", ".join(field.name for field in _FIELDS)
            raise ValueError(f"a schedule has six fields: {names}")
        return cls(*(field.parse(given) for field, given in zip(_FIELDS, fields, strict=True)))
