"""Short names for users, whose MRIs fill a line. Known to the page only."""

_NAMES = (
    "Ada", "Ben", "Chloe", "David", "Emma", "Felix", "Grace", "Hugo", "Iris", "Jonas", "Kim", "Leo", "Mia",
    "Noah", "Olga", "Paul", "Quinn", "Rosa", "Sam", "Tara", "Uma", "Vera", "Will", "Xenia", "Yusuf", "Zoe",
)  # fmt: skip


class Nicknames:
    """Gives each MRI a name of its own, in the order in which they are asked for."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def of(self, mri: str) -> str:
        """The name of a user; MRIs are compared without case."""
        return self._names.setdefault(mri.lower(), self._next())

    def known(self) -> dict[str, str]:
        """All names so far by MRI."""
        return dict(self._names)

    def _next(self) -> str:
        turn, place = divmod(len(self._names), len(_NAMES))
        return _NAMES[place] + (f" {turn + 1}" if turn else "")
