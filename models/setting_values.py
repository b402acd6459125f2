"""Numbers as the text of settings. A ValueError says what would be right, and does not quote the text
(pure)."""


class Number:
    """Reads a number within bounds."""

    def __init__(self, least: float, most: float, *, above: bool = False) -> None:
        """Take the bounds; with `above` the lower one is no value itself."""
        self.bounds = (least, most)
        self._above = above

    def __call__(self, text: str) -> float:
        """The number.

        Raises:
            ValueError: it is none, or out of bounds.
        """
        least, most = self.bounds
        value = _number(text)
        if value is None or not least <= value <= most or (self._above and value == least):
            beginning = f"above {least:,} and at most" if self._above else f"from {least:,} to"
            raise ValueError(f"must be a number {beginning} {most:,}")
        return value


class WholeNumber:
    """Reads a whole number within bounds."""

    def __init__(self, least: int, most: int) -> None:
        """Take the bounds."""
        self.bounds = (least, most)

    def __call__(self, text: str) -> int:
        """The number.

        Raises:
            ValueError: it is none, or out of bounds.
        """
        least, most = self.bounds
        value = _number(text)
        if value is None or not least <= value <= most or not value.is_integer():
            raise ValueError(f"must be a whole number from {least:,} to {most:,}")
        return int(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
