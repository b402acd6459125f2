"""The query strings of the registrar's other two functions."""

import traceback
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.device import DeviceQuery, UserQuery
from models.errors import InvalidRequestError
from models.validation import parse_query
from tests.fakes import ALICE, TEAMS_USER


def bad_fields(model: type[UserQuery], query: dict[str, str]) -> list[str]:
    with pytest.raises(InvalidRequestError) as caught:
        parse_query(model, query)
    assert "do-not-quote" not in "".join([str(caught.value), *traceback.format_exception(caught.value)])
    assert all("do-not-quote" not in bad.detail for bad in caught.value.errors)
    return [bad.field for bad in caught.value.errors]


@pytest.mark.parametrize("mri", [ALICE, TEAMS_USER, "8:spool:x", "8:acs:".ljust(512, "x")])
def test_user(mri: str) -> None:
    """Anybody who can own a device can be asked for; other parameters, such as a key, are ignored."""
    assert parse_query(UserQuery, {"acsMri": mri, "code": "a-key"}).acs_mri == mri


def test_device() -> None:
    """A device is named by its user and its UUID."""
    wanted = parse_query(DeviceQuery, {"acsMri": ALICE, "deviceUUID": "u" * 256})
    assert (wanted.acs_mri, wanted.device_uuid) == (ALICE, "u" * 256)


@pytest.mark.parametrize(
    "mri", ["", "do-not-quote", "4:+14255550123", "8:acs:", "8:acs:".ljust(513, "x"), "\ud800"]
)
def test_bad_user(mri: str) -> None:
    """A user who cannot own a device is refused, and not quoted."""
    assert bad_fields(UserQuery, {"acsMri": mri}) == ["acsMri"]


def test_missing_parameters() -> None:
    """All missing parameters are named together; their names are matched exactly."""
    assert bad_fields(UserQuery, {}) == ["acsMri"]
    assert bad_fields(DeviceQuery, {"acsmri": ALICE, "deviceUuid": "x"}) == ["acsMri", "deviceUUID"]


@pytest.mark.parametrize("device_uuid", ["", "u" * 257])
def test_bad_device(device_uuid: str) -> None:
    """An empty or overlong device UUID is refused."""
    assert bad_fields(DeviceQuery, {"acsMri": ALICE, "deviceUUID": device_uuid}) == ["deviceUUID"]


@given(st.dictionaries(st.sampled_from(["acsMri", "deviceUUID"]) | st.text(), st.text()))
def test_any_query(query: dict[str, str]) -> None:
    """Whatever is asked, it parses or is refused."""
    with suppress(InvalidRequestError):
        assert parse_query(DeviceQuery, query).acs_mri == query["acsMri"]
