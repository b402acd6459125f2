"""Communication identifiers: which kind an MRI is, and what that kind may do."""

import pytest

from models.identity import OWNER_PREFIXES, Identity, IdentityKind

DAY = 86_400
HALF_A_YEAR = 15_552_000

KINDS = [
    ("8:acs:", IdentityKind.ACS_USER),
    ("8:gcch-acs:", IdentityKind.ACS_USER),
    ("8:dod-acs:", IdentityKind.ACS_USER),
    ("8:spool:", IdentityKind.ACS_USER),
    ("8:orgid:", IdentityKind.TEAMS_USER),
    ("8:gcch:", IdentityKind.TEAMS_USER),
    ("8:dod:", IdentityKind.TEAMS_USER),
    ("8:teamsvisitor:", IdentityKind.ANONYMOUS),
    ("4:", IdentityKind.PHONE_NUMBER),
    ("28:orgid:", IdentityKind.TEAMS_APP),
    ("28:gcch:", IdentityKind.TEAMS_APP),
    ("28:dod:", IdentityKind.TEAMS_APP),
]
OWNERS = {IdentityKind.ACS_USER, IdentityKind.TEAMS_USER}


@pytest.mark.parametrize(("prefix", "kind"), KINDS)
def test_kind(prefix: str, kind: IdentityKind) -> None:
    """Each prefix stands for one kind, with any id after it and in any letter case."""
    for rest in ("x", "+14255550123", "resource_tenant_user", "00000000-0000-0000-0000-000000000000", ":"):
        for mri in (prefix + rest, (prefix + rest).upper()):
            identity = Identity.parse(mri)
            assert (identity.kind, identity.mri, identity.as_received) == (kind, mri.lower(), mri)


@pytest.mark.parametrize("prefix", [prefix for prefix, _ in KINDS])
def test_empty_id(prefix: str) -> None:
    """A prefix without an id is unknown."""
    assert Identity.parse(prefix).kind is IdentityKind.UNKNOWN


@pytest.mark.parametrize("mri", ["", "8:", "8:acs", " 8:acs:x", "9:acs:x", "48:x", "29:orgid:x", "x"])
def test_unknown_prefix(mri: str) -> None:
    """Any other text is unknown and owns no devices."""
    identity = Identity.parse(mri)
    assert identity.kind is IdentityKind.UNKNOWN
    assert not identity.can_own_devices


def test_letter_case() -> None:
    """Two spellings of an MRI are equal; both are known, the lower-case one first."""
    received = Identity.parse("8:orgid:AABBCCDD-0011-2233-4455-66778899AABB")
    assert received == Identity.parse(received.mri)
    assert received.spellings == (received.mri, received.as_received)
    assert Identity.parse(received.mri).spellings == (received.mri,)


@pytest.mark.parametrize("mri", ["8:acs:\u212a", "8:acs:\u0130", "8:acs:Ü"])
def test_other_letters_keep_their_case(mri: str) -> None:
    """Only ASCII letters are lower-cased: the Kelvin sign would become a "k", and thereby another user."""
    assert Identity.parse(mri).mri == mri


@pytest.mark.parametrize(("prefix", "kind"), KINDS)
def test_owners(prefix: str, kind: IdentityKind) -> None:
    """Only Communication Services users and Teams users own devices."""
    assert Identity.parse(prefix + "x").can_own_devices is (kind in OWNERS)


def test_owner_prefixes() -> None:
    """The prefixes that an error lists are those of the owners."""
    assert set(OWNER_PREFIXES) == {prefix for prefix, kind in KINDS if kind in OWNERS}


@pytest.mark.parametrize(("prefix", "kind"), KINDS)
def test_longest_time_to_live(prefix: str, kind: IdentityKind) -> None:
    """A Teams user's registration lives for a day at most, any other one for 180 days."""
    longest = DAY if kind is IdentityKind.TEAMS_USER else HALF_A_YEAR
    assert Identity.parse(prefix + "x").maximum_ttl_seconds == longest


def test_default_is_clamped() -> None:
    """The default is reduced to the identity's maximum."""
    assert Identity.parse("8:orgid:x").time_to_live_seconds(None, HALF_A_YEAR) == DAY
    assert Identity.parse("8:acs:x").time_to_live_seconds(None, HALF_A_YEAR) == HALF_A_YEAR
    assert Identity.parse("8:orgid:x").time_to_live_seconds(None, 300) == 300


def test_requested_value_is_not_clamped() -> None:
    """A requested value is used as it is: the request's validation has checked it."""
    assert Identity.parse("8:orgid:x").time_to_live_seconds(HALF_A_YEAR, DAY) == HALF_A_YEAR
    assert Identity.parse("8:acs:x").time_to_live_seconds(300, DAY) == 300
