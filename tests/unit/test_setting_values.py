"""Numbers as the text of settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.setting_values import Number, WholeNumber

MARKER = "do-not-quote"


class TestNumber:
    @given(st.floats(5, 28))
    def test_within(self, value: float) -> None:
        """Every number within the bounds, as Python writes it."""
        assert Number(5, 28)(repr(value)) == value

    @given(st.floats(max_value=5, exclude_max=True) | st.floats(min_value=28, exclude_min=True))
    def test_beyond(self, value: float) -> None:
        """No other one, infinity included; the bounds are told."""
        with pytest.raises(ValueError, match="must be a number from 5 to 28"):
            Number(5, 28)(repr(value))

    def test_above(self) -> None:
        """The lower bound may be no value itself."""
        assert Number(0, 600, above=True)("0.001") == 0.001
        with pytest.raises(ValueError, match="must be a number above 0 and at most 600"):
            Number(0, 600, above=True)("0")

    @pytest.mark.parametrize("text", [MARKER, "nan", "", "1;2", "0x10", "1 2"])
    def test_no_number(self, text: str) -> None:
        """What is no number is not quoted."""
        with pytest.raises(ValueError, match="must be a number") as caught:
            Number(0, 600)(text)
        assert MARKER not in str(caught.value)


class TestWholeNumber:
    @given(st.integers(300, 15_552_000))
    def test_within(self, value: int) -> None:
        """Every whole number within the bounds."""
        read = WholeNumber(300, 15_552_000)(str(value))
        assert (read, type(read)) == (value, int)

    @pytest.mark.parametrize("text", ["299", "15552001", "300.5", "nan", "inf", "9" * 5_000, MARKER])
    def test_refused(self, text: str) -> None:
        """The bounds are told as they are written for people, and the text is not quoted."""
        with pytest.raises(ValueError, match="must be a whole number from 300 to 15,552,000") as caught:
            WholeNumber(300, 15_552_000)(text)
        assert MARKER not in str(caught.value)
