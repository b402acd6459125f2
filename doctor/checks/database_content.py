"""How much the app's database holds; an empty one may be another database than the app's."""

from dataclasses import dataclass
from datetime import datetime

EMPTY_REMEDY = (
    "If apps have registered, DbName or MongoDbConnectionString names another database than the app's: "
    "compare both with the app's settings. Before the first registration this is as it should be."
)


@dataclass(frozen=True, slots=True)
class DatabaseContent:
    """Counts, which the database estimates."""

    name: str
    """`DbName`."""
    registrations: int
    calls: int
    """In the ledger, which keeps a day."""
    last_call: datetime | None
    """When the newest call in the ledger was first seen."""

    @property
    def is_empty(self) -> bool:
        """There is neither a registration nor a call."""
        return not self.registrations and not self.calls

    def __str__(self) -> str:
        counts = f"{self.registrations} registrations, {self.calls} calls of the last day"
        if self.is_empty:
            return f"the database '{self.name}' is empty: {counts}"
        last = "" if self.last_call is None else f", the last one at {self.last_call:%Y-%m-%d %H:%M:%S} UTC"
        return f"about {counts}{last}"
