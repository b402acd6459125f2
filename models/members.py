"""The members of a JSON object from outside, any of which may be missing or malformed."""

from collections.abc import Mapping


class Members:
    """A malformed member counts as absent, so that the phone rings."""

    __slots__ = ("_values",)

    def __init__(self, value: object) -> None:
        """Take a JSON value; one that is no object has no members."""
        self._values: Mapping[str, object] = value if isinstance(value, dict) else {}

    def text(self, name: str) -> str | None:
        """A text; None for an empty one."""
        value = self._values.get(name)
        return _encodable(value) or None if isinstance(value, str) else None

    def is_true(self, name: str) -> bool:
        """Whether it is true, or says so as text."""
        value = self._values.get(name)
        return isinstance(value, bool | str) and str(value).lower() == "true"

    def object(self, name: str) -> "Members":
        """The members of an object."""
        return Members(self._values.get(name))


def _encodable(text: str) -> str:
    # JSON may carry lone surrogates (half an emoji), which no UTF-8 body can.
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
