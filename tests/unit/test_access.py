"""Who is calling, and for whom it may act: every mode, without HTTP."""

from collections.abc import Mapping
from typing import ClassVar

import pytest

from models.access import is_anonymous_to_the_host, is_issuer_url
from models.errors import ForbiddenError, IssuerUnavailableError, UnauthenticatedError
from registrar.access import Caller, KeyAccess, OidcAccess, Right, bearer_token
from tests.fakes import ALICE, BOB, TEAMS_USER

ROLE = "Registrar.Admin"
OBJECT_ID = "teams-user"


class OneToken:
    """Accepts one token and says what it claims."""

    def __init__(self, claims: Mapping[str, object]) -> None:
        self._claims = claims

    def claims(self, token: str) -> Mapping[str, object]:
        """The claims, for the token `good` only."""
        if token == "down":
            raise IssuerUnavailableError("down")
        if token != "good":
            raise UnauthenticatedError("not good")
        return self._claims


def caller(claims: Mapping[str, object], user_claim: str = "acsMri") -> Caller:
    access = OidcAccess(OneToken(claims), user_claim, ROLE)
    return access.authenticate({"authorization": "Bearer good"})


class TestKeyMode:
    def test_backend(self) -> None:
        """Whoever the host lets through acts for anybody, token or not."""
        for headers in ({}, {"authorization": "Bearer whatever"}):
            found = KeyAccess().authenticate(headers)
            found.check_may_act_for(ALICE)
            assert found.sees_device_tokens


class TestOidcMode:
    def test_user(self) -> None:
        """A user acts for himself alone, and sees no device tokens."""
        found = caller({"acsMri": ALICE})
        found.check_may_act_for(ALICE)
        with pytest.raises(ForbiddenError):
            found.check_may_act_for(BOB)
        assert not found.sees_device_tokens

    def test_administrator(self) -> None:
        """The role acts for anybody and sees device tokens, whether or not it is a user as well."""
        for claims in ({"roles": [ROLE]}, {"roles": ["other", ROLE], "acsMri": ALICE}):
            found = caller(claims)
            found.check_may_act_for(BOB)
            assert found.sees_device_tokens

    @pytest.mark.parametrize(
        "roles",
        [None, [], "", ROLE, f"x{ROLE}x", {ROLE: True}, [[ROLE]], [ROLE.lower()], [f"{ROLE} "], 7, True],
    )
    def test_not_quite_the_role(self, roles: object) -> None:
        """Only a list that holds exactly the role makes an administrator; text that contains it does not."""
        found = caller({"roles": roles})
        assert found == Caller(Right.SELF)
        with pytest.raises(ForbiddenError):
            found.check_may_act_for(ALICE)

    def test_other_role(self) -> None:
        """The role is the one of the settings."""
        access = OidcAccess(OneToken({"roles": ["phones"]}), "acsMri", "phones")
        assert access.authenticate({"authorization": "Bearer good"}).right is Right.ANYBODY

    @pytest.mark.parametrize(
        "claim",
        [
            None, "", 7, True, [ALICE], {"id": ALICE}, "alice", "8:acs:", "8:orgid:", "4:+14255550123",
            "28:orgid:bot", "8:teamsvisitor:x", f" {ALICE}", ALICE.upper(),
        ],
    )  # fmt: skip
    def test_nobody(self, claim: object) -> None:
        """A claim that is missing, or names nobody who can own a device, acts for nobody at all."""
        found = caller({} if claim is None else {"acsMri": claim})
        assert found.acs_mri is None
        for mri in (ALICE, BOB, str(claim)):
            with pytest.raises(ForbiddenError):
                found.check_may_act_for(mri)

    def test_compared_exactly(self) -> None:
        """Another letter case or a longer id is another user."""
        for mri in (ALICE.upper(), f"{ALICE} ", f"{ALICE}2", ALICE[:-1], f"{ALICE}\n", f"{ALICE}\0"):
            with pytest.raises(ForbiddenError):
                caller({"acsMri": ALICE}).check_may_act_for(mri)

    def test_other_claim(self) -> None:
        """The claim is the one of the settings; another one counts for nothing."""
        claims = {"acsMri": BOB, "extn.mri": ALICE, "oid": OBJECT_ID}
        assert caller(claims, "extn.mri").acs_mri == ALICE

    def test_teams_user(self) -> None:
        """With `oid` the caller is the Teams user of that Entra object id, and not who `acsMri` says."""
        found = caller({"oid": OBJECT_ID, "acsMri": BOB}, "oid")
        found.check_may_act_for(TEAMS_USER)
        with pytest.raises(ForbiddenError):
            found.check_may_act_for(BOB)

    def test_mri_as_object_id(self) -> None:
        """An `oid` that looks like an MRI is still an object id."""
        with pytest.raises(ForbiddenError):
            caller({"oid": ALICE}, "oid").check_may_act_for(ALICE)

    def test_same_words_for_everybody(self) -> None:
        """A stranger hears nothing of whom he asked for or who he is."""
        with pytest.raises(ForbiddenError) as caught:
            caller({"acsMri": ALICE}).check_may_act_for(BOB)
        assert ALICE not in caught.value.detail
        assert BOB not in caught.value.detail

    def test_invalid_token(self) -> None:
        """What the verifier says of a token is passed on."""
        access = OidcAccess(OneToken({}), "acsMri", ROLE)
        with pytest.raises(UnauthenticatedError):
            access.authenticate({"authorization": "Bearer bad"})
        with pytest.raises(IssuerUnavailableError):
            access.authenticate({"authorization": "Bearer down"})


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
    def test_only_what_nobody_can_tamper_with(self, url: str, *, accepted: bool) -> None:
        """https anywhere, plain http on this machine only."""
        assert is_issuer_url(url) is accepted


class TestAnonymousToTheHost:
    COMPLETE: ClassVar = {
        "RegistrarAccess": "oidc",
        "OidcIssuer": "https://issuer.test",
        "OidcAudience": "api",
    }

    def test_complete(self) -> None:
        """The host asks for no key where the app asks for a token."""
        assert is_anonymous_to_the_host(self.COMPLETE)

    @pytest.mark.parametrize("mode", ["key", "", "OIDC", "Oidc", "oidc ", " oidc", "oicd", "anonymous"])
    def test_other_mode(self, mode: str) -> None:
        """Anything but exactly `oidc` keeps the key."""
        assert not is_anonymous_to_the_host({**self.COMPLETE, "RegistrarAccess": mode})

    @pytest.mark.parametrize("name", COMPLETE)
    @pytest.mark.parametrize("value", [None, "", "  "])
    def test_half(self, name: str, value: str | None) -> None:
        """Where a part is missing or empty, the host keeps asking for the key."""
        half = {**self.COMPLETE, name: value} if value is not None else dict(self.COMPLETE)
        if value is None:
            del half[name]
        assert not is_anonymous_to_the_host({each: text for each, text in half.items() if text is not None})

    def test_nothing(self) -> None:
        """Without any setting there is a key."""
        assert not is_anonymous_to_the_host({})
