"""Which caller a request comes from, and for which users it may act."""

from collections.abc import Mapping

import pytest

from models.access import OidcSettings, is_issuer_url
from models.errors import ForbiddenError, UnauthenticatedError
from models.identity import Identity
from registrar.access import Caller, KeyAccess, Right, bearer_token, caller_from_claims
from tests.fakes import ALICE, BOB, TEAMS_USER

ROLE = "Registrar.Admin"
OBJECT_ID = "teams-user"


def caller(claims: Mapping[str, object], user_claim: str = "acsMri", role: str | None = ROLE) -> Caller:
    return caller_from_claims(claims, OidcSettings("https://issuer.test", "audience", user_claim, role))


class TestKeyMode:
    @pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer unread"}])
    def test_backend(self, headers: dict[str, str]) -> None:
        """Every caller that the host lets through acts for every user; a bearer token is not read."""
        found = KeyAccess().authenticate(headers)
        assert found.right is Right.FUNCTION_KEY
        found.check_may_act_for(Identity.parse(ALICE))
        assert found.sees_device_tokens


class TestUser:
    def test_own_user_only(self) -> None:
        """A user acts for themselves alone and sees no device tokens."""
        found = caller({"acsMri": ALICE})
        assert found.right is Right.OWN_USER
        found.check_may_act_for(Identity.parse(ALICE))
        with pytest.raises(ForbiddenError, match="for another user"):
            found.check_may_act_for(Identity.parse(BOB))
        assert not found.sees_device_tokens

    @pytest.mark.parametrize(
        "claim",
        [
            None, "", 7, True, {"id": ALICE}, "alice", "8:acs:", "8:orgid:", "4:+14255550123", "28:orgid:bot",
            "8:teamsvisitor:x", f" {ALICE}", [], [[ALICE]], [7], [ALICE, BOB],
        ],
    )  # fmt: skip
    def test_claim_without_a_user(self, claim: object) -> None:
        """A claim that is missing, or names no user who can own devices, acts for no user."""
        found = caller({} if claim is None else {"acsMri": claim})
        assert found.user is None
        for mri in (ALICE, BOB, str(claim)):
            with pytest.raises(ForbiddenError, match="names no Communication Services or Teams user"):
                found.check_may_act_for(Identity.parse(mri))

    def test_list_of_one(self) -> None:
        """A claim that arrives as a list of one value is that value (Entra's directory extensions)."""
        assert caller({"acsMri": [ALICE]}).user == Identity.parse(ALICE)
        assert caller({"oid": [OBJECT_ID]}, "oid").user == Identity.parse(TEAMS_USER)

    @pytest.mark.parametrize(
        "mri", [f"{ALICE} ", f"{ALICE}2", ALICE[:-1], f"{ALICE}\n", f"{ALICE}\0", f"{ALICE}\u200b"]
    )
    def test_similar_mri(self, mri: str) -> None:
        """A longer or shorter MRI is another user's."""
        with pytest.raises(ForbiddenError):
            caller({"acsMri": ALICE}).check_may_act_for(Identity.parse(mri))

    def test_letter_case(self) -> None:
        """The MRI is compared without letter case."""
        found = caller({"acsMri": ALICE.upper()})
        found.check_may_act_for(Identity.parse(ALICE))
        caller({"oid": OBJECT_ID.upper()}, "oid").check_may_act_for(Identity.parse(TEAMS_USER))
        with pytest.raises(ForbiddenError):
            found.check_may_act_for(Identity.parse(BOB.upper()))

    def test_claim_of_the_settings(self) -> None:
        """The user is read from the claim that the settings name, and from no other."""
        claims = {"acsMri": BOB, "extn.mri": ALICE, "oid": OBJECT_ID}
        assert caller(claims, "extn.mri").user == Identity.parse(ALICE)

    def test_teams_user(self) -> None:
        """With `oid` the caller is the Teams user with that Entra object id."""
        found = caller({"oid": OBJECT_ID, "acsMri": BOB}, "oid")
        found.check_may_act_for(Identity.parse(TEAMS_USER))
        with pytest.raises(ForbiddenError):
            found.check_may_act_for(Identity.parse(BOB))

    def test_mri_as_object_id(self) -> None:
        """An `oid` that looks like an MRI is still an object id."""
        with pytest.raises(ForbiddenError):
            caller({"oid": ALICE}, "oid").check_may_act_for(Identity.parse(ALICE))

    def test_nothing_is_quoted(self) -> None:
        """The refusal names neither the user asked for nor the caller."""
        with pytest.raises(ForbiddenError) as caught:
            caller({"acsMri": ALICE}).check_may_act_for(Identity.parse(BOB))
        assert ALICE not in caught.value.detail
        assert BOB not in caught.value.detail


class TestAdministrator:
    @pytest.mark.parametrize("claims", [{"roles": [ROLE]}, {"roles": ["other", ROLE], "acsMri": ALICE}])
    def test_role(self, claims: dict[str, object]) -> None:
        """The role acts for every user and sees device tokens, whether or not the token names a user too."""
        found = caller(claims)
        assert found.right is Right.ADMIN_ROLE
        found.check_may_act_for(Identity.parse(BOB))
        assert found.sees_device_tokens

    @pytest.mark.parametrize(
        "roles",
        [
            None,
            [],
            "",
            ROLE,
            f"x{ROLE}x",
            {ROLE: True},
            [[ROLE]],
            [ROLE.lower()],
            [f"{ROLE} "],
            7,
            True,
            [""],
        ],
    )
    def test_not_exactly_the_role(self, roles: object) -> None:
        """Only a list that holds exactly the role makes an administrator."""
        assert caller({"roles": roles}) == Caller(Right.OWN_USER)

    def test_role_of_the_settings(self) -> None:
        """The role is the one that the settings name."""
        assert caller({"roles": ["phones"]}, role="phones").right is Right.ADMIN_ROLE
        assert caller({"roles": [ROLE]}, role="phones").right is Right.OWN_USER

    @pytest.mark.parametrize("roles", [[ROLE], [None], [""], ["None"], None])
    def test_no_role(self, roles: object) -> None:
        """Without a role in the settings no token makes an administrator."""
        assert caller({"roles": roles, "acsMri": ALICE}, role=None).right is Right.OWN_USER


class TestBearerToken:
    @pytest.mark.parametrize("header", ["Bearer t", "bearer t", "BEARER   t  ", " Bearer t"])
    def test_found(self, header: str) -> None:
        """The scheme is read in any letter case (RFC 9110)."""
        assert bearer_token({"authorization": header}) == "t"

    @pytest.mark.parametrize(
        "headers",
        [
            {}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Bearer "},
            {"authorization": "Basic dTpw"}, {"authorization": "t"}, {"authorization": "Bearert"},
            {"authorization": "Bearer\tt"}, {"x-authorization": "Bearer t"},
        ],
    )  # fmt: skip
    def test_missing(self, headers: dict[str, str]) -> None:
        """Without a token the challenge names no error (RFC 6750, 3.1)."""
        with pytest.raises(UnauthenticatedError) as caught:
            bearer_token(headers)
        assert caught.value.headers == {"WWW-Authenticate": 'Bearer realm="registrar"'}


class TestIssuerUrl:
    @pytest.mark.parametrize(
        ("url", "accepted"),
        [
            ("https://login.microsoftonline.com/6d5b/v2.0", True),
            ("https://contoso.eu.auth0.com/", True),
            ("http://127.0.0.1:8080/realm", True),
            ("http://localhost/", True),
            ("http://[::1]:1/", True),
            ("http://login.microsoftonline.com/6d5b/v2.0", False),
            ("http://127.0.0.1.evil.test/", False),
            ("http://localhost@evil.test/", False),
            ("ftp://127.0.0.1/", False),
            ("login.microsoftonline.com", False),
            ("https://", False),
            ("https://[", False),
            ("", False),
        ],
    )
    def test_encrypted_or_loopback(self, url: str, *, accepted: bool) -> None:
        """https to any host, plain http to this machine only."""
        assert is_issuer_url(url) is accepted
