"""`incomingCallContext` → `cp`."""

import base64
import gzip
import json
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidEventError
from push.call_context import call_context

MARKER = "do-not-quote"
CC = base64.b64encode(gzip.compress(b'{"callId": "1"}', mtime=0)).decode()
HEADER = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")


def middle(claims: object) -> str:
    """The middle part: unpadded base64 of JSON."""
    return base64.b64encode(json.dumps(claims).encode()).decode().rstrip("=")


def context(claims: object) -> str:
    return f"{HEADER}.{middle(claims)}."


def refused(text: str | None) -> str:
    with pytest.raises(InvalidEventError) as caught:
        call_context(text)
    shown = "".join([repr(caught.value), *traceback.format_exception(caught.value)])
    assert MARKER not in shown
    assert base64.b64encode(MARKER.encode()).decode() not in shown
    return str(caught.value)


@pytest.mark.parametrize(
    "claims",
    [
        {"cc": CC, "shrToken": "t"},
        {"shrToken": "t", "cc": CC},
        {"cc": CC},
        {"new": None, "cc": CC, "shrToken": 7},
    ],
)
def test_unchanged(claims: dict[str, object]) -> None:
    """The `cc` comes out exactly as it went in, wherever it stands and with or without a token."""
    assert call_context(context(claims)) == CC


@pytest.mark.parametrize("alphabet", [b"+/", b"-_"])
@pytest.mark.parametrize("padding", ["", "=", "==", "===", "===="])
def test_alphabets_and_padding(alphabet: bytes, padding: str) -> None:
    """The middle part may be in either alphabet, with the right padding, none or too much."""
    claims = json.dumps({"cc": CC, "x": "~~~???ÿ>>>"}, ensure_ascii=False).encode()
    part = base64.b64encode(claims, altchars=alphabet).decode().rstrip("=")
    assert not set(alphabet.decode()).isdisjoint(part)
    assert call_context(f"{HEADER}.{part}{padding}.") == CC


@pytest.mark.parametrize("cc", ["/+8=", "_-8=", "/+8", "_-8", "/+8==", "QQ", "QUI", "QUJD"])
def test_forms_of_the_cc(cc: str) -> None:
    """The `cc` may be in either form too, and is not made over."""
    assert call_context(context({"cc": cc})) == cc


def test_end() -> None:
    """The third part is empty; whether its dot is there, or even something behind it, does not matter."""
    for end in ("", ".", ".signature"):
        assert call_context(f"{HEADER}.{middle({'cc': CC})}{end}") == CC


@pytest.mark.parametrize("text", [None, ""])
def test_missing(text: str | None) -> None:
    """An event without a context is refused."""
    assert "missing" in refused(text)


@pytest.mark.parametrize(
    "text", [MARKER, CC, middle({"cc": CC}), "a.b.c.d", "...", f".{middle({'cc': CC})}.."]
)
def test_number_of_parts(text: str) -> None:
    """No dots or too many: not three parts."""
    assert "three parts" in refused(text)


@pytest.mark.parametrize("part", ["do-not-quote!", "a", "Zm9v\n", "Z=9v", "Zm 9v", "ü", "\ud800", "=a"])
def test_middle_part_that_is_no_base64(part: str) -> None:
    """The middle part is not base64."""
    assert "not base64" in refused(f"{HEADER}.{part}.")


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        MARKER.encode(),
        b"\xff\xfe\xfd",
        b'{"cc": "do-not-quote"',
        b"[" * 100_000,
        b"9" * 5_000,
        b"null",
        b"1",
        b'"do-not-quote"',
        b'["cc"]',
    ],
)
def test_middle_part_that_is_no_json_object(plain: bytes) -> None:
    """The middle part is base64, but not of a JSON object."""
    assert "JSON object" in refused(f"{HEADER}.{base64.b64encode(plain).decode()}.")


@pytest.mark.parametrize(
    "claims", [{}, {"shrToken": MARKER}, {"CC": CC}, {"cc": ""}, {"cc": None}, {"cc": 1}]
)
def test_no_cc(claims: dict[str, object]) -> None:
    """A missing, empty or mistyped `cc` is refused."""
    assert "no cc" in refused(context(claims))


@pytest.mark.parametrize(
    "cc", ["do-not-quote!", "a", "=", "====", "QU I=", "QUI\n", "Q=UI", "ü", "\ud800", "."]
)
def test_cc_that_is_no_base64(cc: str) -> None:
    """So is one that is not base64, or the base64 of nothing."""
    assert "cc is not base64" in refused(context({"cc": cc, "shrToken": MARKER}))


@given(
    st.binary(min_size=1), st.dictionaries(st.text(), st.text() | st.none() | st.integers()), st.booleans()
)
def test_round_trip(data: bytes, others: dict[str, object], first: bool) -> None:
    """Whatever stands beside it, the `cc` comes out as it went in."""
    cc = {"cc": base64.b64encode(data).decode()}
    claims = {**cc, **others, **cc} if first else {**others, **cc}
    assert call_context(context(claims)) == cc["cc"]


def usable(text: str) -> bool:
    """Whether a `cc` comes out; anything but the one error is raised."""
    try:
        return bool(call_context(text).encode("ascii"))
    except InvalidEventError:
        return False


@given(st.text(st.characters()))
def test_any_text(text: str) -> None:
    """Whatever text arrives as a context, there is a `cc` or the one error."""
    assert usable(text) in {True, False}


@given(st.binary(), st.text(st.characters(), max_size=5))
def test_any_middle_part(plain: bytes, end: str) -> None:
    """Whatever the middle part decodes to, there is a `cc` or the one error."""
    assert usable(f"{HEADER}.{base64.b64encode(plain).decode()}.{end}") in {True, False}


JSON = st.recursive(
    st.none() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("cc") | st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(JSON)
def test_any_claims(claims: object) -> None:
    """Whatever JSON the middle part holds, there is a `cc` or the one error."""
    assert usable(context(claims)) in {True, False}
