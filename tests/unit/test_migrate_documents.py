"""Reading the sample's documents: what can be taken over, and why the rest cannot."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.telemetry import fingerprint
from migrate.sample_documents import EXPLANATIONS, Reason, Rules, read_document
from models.platform import Platform

NOW = datetime(2100, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
ALICE = "8:acs:resource_alice"
DAY = 86_400
RULES = Rules(ttl_seconds=30 * DAY, maximum_devices=3)


HEX = "ab" * 32
CHANNEL = "https://a.notify.windows.com/?token=b"


def info(device: str = "phone", token: object = "token", platform: object = "android") -> dict[str, Any]:
    return {"deviceUUID": device, "deviceToken": token, "platform": platform}


def read(*infos: object, user: object = ALICE) -> tuple[list[str], list[Reason]]:
    """The devices that can be taken over, and the reasons of the others."""
    document = read_document({"_id": user, "deviceInfos": list(infos)}, RULES, NOW)
    assert document.entries == len(infos)
    return [one.device_uuid for one in document.found], [one.reason for one in document.skipped]


class TestDevices:
    def test_a_device(self) -> None:
        """A device is taken over with everything that the sample knows, and an end."""
        found = read_document({"_id": ALICE, "deviceInfos": [info()]}, RULES, NOW).found[0]
        assert (found.acs_mri, found.device_uuid, found.device_token) == (ALICE, "phone", "token")
        assert found.platform is Platform.FCM_V1
        assert found.expires_at == NOW.replace(microsecond=0) + timedelta(days=30)

    @pytest.mark.parametrize(
        ("sent", "token", "platform"),
        [
            ("android", "token", Platform.FCM_V1),
            ("gcm", "token", Platform.FCM_V1),
            ("Apple", HEX, Platform.APPLE),
            ("windows", CHANNEL, Platform.WINDOWS),
        ],
    )
    def test_platforms(self, sent: str, token: str, platform: Platform) -> None:
        """A platform goes over under the hub's name for it."""
        document = read_document({"_id": ALICE, "deviceInfos": [info("x", token, sent)]}, RULES, NOW)
        assert document.found[0].platform is platform

    def test_letter_case(self) -> None:
        """A user goes over in lower case."""
        found = read_document({"_id": ALICE.upper(), "deviceInfos": [info()]}, RULES, NOW).found[0]
        assert found.acs_mri == ALICE

    @pytest.mark.parametrize("prefix", ["8:orgid:", "8:gcch:", "8:dod:"])
    def test_teams_users_get_a_day(self, prefix: str) -> None:
        """A Teams user's registration lives a day, although more is asked for."""
        found = read_document({"_id": f"{prefix}x", "deviceInfos": [info()]}, RULES, NOW).found[0]
        assert found.expires_at == NOW.replace(microsecond=0) + timedelta(days=1)

    def test_no_devices(self) -> None:
        """A user without devices is nothing to take over and nothing to report."""
        assert read() == ([], [])


class TestSkipped:
    def test_every_reason_is_explained(self) -> None:
        """A report has a sentence for each reason."""
        assert set(EXPLANATIONS) == set(Reason)

    @pytest.mark.parametrize(
        "user", ["4:+4912345", "8:teamsvisitor:x", "28:orgid:x", "alice", "8:acs:", "", 7, None]
    )
    def test_users_that_own_no_device(self, user: object) -> None:
        """An MRI that cannot own a device is skipped, and so is what is no MRI."""
        assert read(info(), user=user) == ([], [Reason.NO_OWNER])

    @pytest.mark.parametrize("platform", ["baidu", "adm", "windowsphone", "none", "1", "", None, 1])
    def test_unknown_platforms(self, platform: object) -> None:
        """A platform that no Calling SDK has pushes on is skipped."""
        assert read(info(platform=platform)) == ([], [Reason.UNKNOWN_PLATFORM])

    @pytest.mark.parametrize("token", ["", None, 5])
    def test_empty_tokens(self, token: object) -> None:
        """Without a device token there is nothing to ring."""
        assert read(info(token=token)) == ([], [Reason.EMPTY_TOKEN])

    @pytest.mark.parametrize(
        ("platform", "token"),
        [("apple", "token"), ("apple", "(null)"), ("android", "a b"), ("windows", "https://evil.test/")],
    )
    def test_tokens_that_can_never_ring(self, platform: str, token: str) -> None:
        """A token that the registrar would refuse is skipped."""
        assert read(info("phone", token, platform)) == ([], [Reason.INVALID_TOKEN])

    def test_missing_fields(self) -> None:
        """A missing field is what is missing."""
        without = [{key: value for key, value in info().items() if key != missing} for missing in info()]
        reasons = [Reason.MALFORMED, Reason.EMPTY_TOKEN, Reason.UNKNOWN_PLATFORM]
        assert read(*without) == ([], reasons)

    @pytest.mark.parametrize("entry", [None, "phone", 5, []])
    def test_malformed_entries(self, entry: object) -> None:
        """What is no device does not keep its neighbours from being taken over."""
        assert read(entry, info()) == (["phone"], [Reason.MALFORMED])

    @pytest.mark.parametrize("infos", [None, "x", {"deviceUUID": "x"}])
    def test_malformed_documents(self, infos: object) -> None:
        """A document without a list of devices is reported as one."""
        document = read_document({"_id": ALICE, "deviceInfos": infos}, RULES, NOW)
        assert [one.reason for one in document.skipped] == [Reason.MALFORMED]
        assert document.skipped[0].device is None

    def test_too_long(self) -> None:
        """A field that the registrar would refuse is refused here."""
        assert read(info(token="x" * 4_097)) == ([], [Reason.TOO_LONG])
        assert read(info(device="x" * 257)) == ([], [Reason.TOO_LONG])

    def test_the_later_entry_of_a_device_counts(self) -> None:
        """Of two tokens of one device the one that was appended last is taken over."""
        assert read(info("a", "old"), info("b", "x"), info("a", "new")) == (
            ["b", "a"],
            [Reason.SAME_DEVICE_TWICE],
        )

    def test_the_later_entry_of_a_token_counts(self) -> None:
        """A phone that got a new device UUID, by a reinstallation, is taken over once."""
        assert read(info("old", "same"), info("new", "same")) == (["new"], [Reason.SAME_TOKEN_TWICE])

    def test_a_token_on_two_platforms(self) -> None:
        """The same text on another platform is another token."""
        channel = "https://a.notify.windows.com/?token=a"
        assert read(info("a", channel, "windows"), info("b", channel, "android")) == (["a", "b"], [])

    def test_too_many_devices(self) -> None:
        """Of more devices than the registrar keeps, those appended last are taken over."""
        infos = [info(str(number), str(number)) for number in range(5)]
        assert read(*infos) == (["2", "3", "4"], [Reason.TOO_MANY_DEVICES] * 2)

    def test_fingerprints(self) -> None:
        """What is skipped is named by fingerprints, never by MRI or UUID."""
        document = read_document({"_id": ALICE, "deviceInfos": [info(token="")]}, RULES, NOW)
        assert document.skipped[0].user == fingerprint(ALICE)
        assert document.skipped[0].device == fingerprint("phone")
