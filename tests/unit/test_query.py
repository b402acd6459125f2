"""The query strings of the registrar's functions."""

import traceback
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidRequestError
from models.requests import DeviceQuery, UserQuery
from models.validation import parse_query
from tests.fakes import ALICE, TEAMS_USER


def bad_fields(model: type[UserQuery], query: dict[str, str]) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        parse_query(model, query)
    assert "do-not-quote" not in "".join([str(caught.value), *traceback.format_exception(caught.value)])
    assert all("do-not-quote" not in bad.detail for bad in caught.value.errors)
    return {bad.field: bad.detail for bad in caught.value.errors}


@pytest.mark.parametrize("mri", [ALICE, TEAMS_USER, "8:spool:x", "8:acs:".ljust(512, "x")])
def test_user(mri: str) -> None:
    """A user who can own a device can be named; other parameters, such as a key, are ignored."""
    assert parse_query(UserQuery, {"acsMri": mri, "code": "a-key"}).owner.mri == mri


def test_device() -> None:
    """A device is named by its user and its UUID."""
    wanted = parse_query(DeviceQuery, {"acsMri": ALICE, "deviceUUID": "u" * 256})
    assert (wanted.owner.mri, wanted.device_uuid) == (ALICE, "u" * 256)


@pytest.mark.parametrize("how", [str.upper, str.lower, str.title])
def test_names_in_any_letter_case(how: Any) -> None:
    """Names are read in any letter case; the exact name wins where both are there."""
    query = {how("acsMri"): ALICE, how("deviceUUID"): "x"}
    assert parse_query(DeviceQuery, query).device_uuid == "x"
    assert parse_query(DeviceQuery, {**query, "deviceUUID": "exact"}).device_uuid == "exact"
    assert parse_query(DeviceQuery, {"deviceUUID": "exact", **query}).device_uuid == "exact"


@pytest.mark.parametrize(
    "mri",
    [
        "",
        "do-not-quote",
        "4:+14255550123",
        "8:acs:",
        "8:acs:".ljust(513, "x"),
        "\ud800",
        f"{ALICE} ",
        f"{ALICE}\0",
    ],
)
def test_bad_user(mri: str) -> None:
    """A user who cannot own a device is refused, and not quoted."""
    assert list(bad_fields(UserQuery, {"acsMri": mri})) == ["acsMri"]


@pytest.mark.parametrize(
    "joined", [f"{ALICE},{ALICE}", f"{ALICE}, {TEAMS_USER}", f"{ALICE},{TEAMS_USER},{ALICE}"]
)
def test_user_sent_twice(joined: str) -> None:
    """The Functions host joins the values of a repeated parameter by a comma: that is no user without a
    registration, and "all of that user's devices are deleted" would be a wrong answer."""
    detail = bad_fields(UserQuery, {"acsMri": joined})["acsMri"]
    assert "more than once" in detail
    assert ALICE not in detail


@pytest.mark.parametrize("mri", ["8:acs:a,b", "8:acs:a,4:+14255550123", "8:acs:a,"])
def test_comma_in_an_id(mri: str) -> None:
    """What is behind the prefix is opaque."""
    assert parse_query(UserQuery, {"acsMri": mri}).owner.mri == mri


def test_missing_parameters() -> None:
    """All missing parameters are listed together, with a similar name that was sent."""
    assert bad_fields(UserQuery, {}) == {"acsMri": "is missing"}
    assert bad_fields(DeviceQuery, {"deviceId": "x"}) == {
        "acsMri": "is missing",
        "deviceUUID": "is missing; you sent deviceId",
    }


@pytest.mark.parametrize("device_uuid", ["", "u" * 257, " ", "x\u200b"])
def test_bad_device(device_uuid: str) -> None:
    """An empty, overlong or invisible device UUID is refused."""
    assert list(bad_fields(DeviceQuery, {"acsMri": ALICE, "deviceUUID": device_uuid})) == ["deviceUUID"]


@given(st.dictionaries(st.sampled_from(["acsMri", "deviceUUID", "ACSMRI"]) | st.text(), st.text()))
def test_any_query(query: dict[str, str]) -> None:
    """Any query parses or is refused."""
    with suppress(InvalidRequestError):
        assert parse_query(DeviceQuery, query).owner.can_own_devices
