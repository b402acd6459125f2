"""One reason to refuse a request (pure). In a table, the first check that refuses decides."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """An HTTP status and its reason: fixed text that quotes nothing from the request."""

    status: int
    reason: str


@dataclass(frozen=True)
class Check[Request]:
    """A check may rely on those before it in its table."""

    status: int
    reason: str
    refuses: Callable[[Request], bool]


def first_refusal[Request](request: Request, checks: Iterable[Check[Request]]) -> Refusal | None:
    """Of the first check that refuses; None if none does."""
    return next((Refusal(each.status, each.reason) for each in checks if each.refuses(request)), None)
