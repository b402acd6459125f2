"""The members of a JSON object from outside."""

import json

from hypothesis import given
from hypothesis import strategies as st

from models.members import Members

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
)


@given(JSON)
def test_any_value(value: object) -> None:
    """With any value, a member is there in its own type, or absent."""
    sent = json.loads(json.dumps(value))
    members = Members(sent)
    given_text = sent.get("a") if isinstance(sent, dict) else None
    text = members.text("a")
    assert (text is not None) == (isinstance(given_text, str) and given_text != "")
    assert text is None or text.encode()
    assert members.object("a").text("b") is None or isinstance(given_text, dict)


def test_half_a_character() -> None:
    """Half an emoji, which no UTF-8 body can carry, is replaced."""
    assert Members({"a": "x\ud83d"}).text("a") == "x\ufffd"
    assert Members({"a": "x\ud83d\ude00"}).text("a") == "x\U0001f600"


def test_true() -> None:
    """True, or the word."""
    assert [Members({"a": each}).is_true("a") for each in (True, "true", "True")] == [True, True, True]
    assert not any(Members({"a": each}).is_true("a") for each in (False, "false", 1, None, "yes", [True]))
