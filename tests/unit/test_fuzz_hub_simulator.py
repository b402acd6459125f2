"""Any request is accepted or refused by the hub simulator; none makes its checks fail."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from local.hub.check import Refusal
from local.hub.checks import SIZE_LIMITS, check_direct_send
from local.hub.config import DEVELOPMENT_HUB
from local.hub.direct_send import DirectSend
from local.hub.service_request import HubRequest, signature

HANDLES = {
    "apple": "a1" * 32,
    "fcmv1": "c1:APA91b",
    "windows": "https://db5.notify.windows.com/?token=a",
    "browser": "https://push.example.com/a",
}
AUDIENCE = f"https%3a%2f%2f{DEVELOPMENT_HUB.host}%2f{DEVELOPMENT_HUB.hub_name}"
NAME, RULE = next(iter(DEVELOPMENT_HUB.rules.items()))
SIGNATURE = signature(RULE.key, f"{AUDIENCE}\n9999999999").replace("+", "%2B")
TOKEN = f"SharedAccessSignature sr={AUDIENCE}&sig={SIGNATURE}&se=9999999999&skn={NAME}"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=2) | st.dictionaries(st.text(max_size=8), children, max_size=2)
    ),
    max_leaves=4,
)
NAMES = st.sampled_from(
    [
        "aps",
        "data",
        "message",
        "android",
        "notification",
        "alert",
        "title",
        "body",
        "sound",
        "badge",
        "interruption-level",
        "content-available",
        "ttl",
        "priority",
        "tag",
        "token",
        "callId",
        "eventId",
        "event",
    ]
)
BODIES: st.SearchStrategy[Any] = st.dictionaries(
    NAMES,
    st.dictionaries(NAMES, st.dictionaries(NAMES, JSON, max_size=3) | JSON, max_size=3) | JSON,
    max_size=4,
)
TOASTS = st.sampled_from(
    [
        "",
        "<toast>",
        "<toast/>",
        "<toast launch='{'/>",
        "<!DOCTYPE a><a/>",
        "<?xml version='1.0' encoding='x'?><a/>",
    ]
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "apns-push-type",
            "apns-expiration",
            "apns-collapse-id",
            "apns-priority",
            "x-wns-type",
            "x-wns-ttl",
            "x-wns-tag",
            "p256dh",
            "auth",
            "content-type",
            "servicebusnotification-apns-expiry",
            "servicebusnotification-apns-push-type",
            "trackingid",
        ]
    ),
    st.sampled_from(["alert", "voip", "background", "5", "10", "wns/raw", "wns/toast", "application/xml"])
    | st.text(max_size=12),
    max_size=6,
)


def verdict(platform: str, headers: dict[str, str], body: bytes) -> DirectSend | Refusal:
    """Of a request whose address, token and handle are right."""
    whole = {
        "content-type": "application/json;charset=utf-8",
        **headers,
        "authorization": TOKEN,
        "servicebusnotification-format": platform,
        "servicebusnotification-devicehandle": HANDLES[platform],
    }
    path = f"/{DEVELOPMENT_HUB.hub_name}/messages/"
    return check_direct_send(
        HubRequest("POST", path, "direct&api-version=2020-06", whole, body), DEVELOPMENT_HUB, 0
    )


def test_the_request_gets_as_far_as_its_body() -> None:
    """Otherwise the properties below would say nothing."""
    accepted = verdict("apple", {"apns-push-type": "voip"}, b'{"aps": {}, "data": {"callId": "a"}}')
    assert isinstance(accepted, DirectSend), accepted
    assert HANDLES.keys() == SIZE_LIMITS.keys()


VALID: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "apple": (
        {"apns-push-type": "alert"},
        {
            "aps": {
                "alert": {"title": "a", "subtitle": "b", "body": "c"},
                "sound": "default",
                "badge": 1,
                "interruption-level": "active",
            },
            "data": {"callId": "d", "event": "missedCall"},
        },
    ),
    "fcmv1": (
        {},
        {
            "message": {
                "data": {"callId": "a", "eventId": "107"},
                "notification": {"title": "a", "body": "b"},
                "android": {"priority": "high", "ttl": "3s", "notification": {"tag": "a"}},
            }
        },
    ),
    "browser": (
        {"p256dh": "BA" + "A" * 85, "auth": "A" * 22},
        {"eventId": 107, "callId": "a"},
    ),
}


def paths(body: dict[str, Any]) -> list[tuple[str, ...]]:
    """Of every member."""
    inner = [
        (name, *rest) for name, value in body.items() if isinstance(value, dict) for rest in paths(value)
    ]
    return [*((name,) for name in body), *inner]


@given(st.sampled_from([(name, path) for name, (_, body) in VALID.items() for path in paths(body)]), JSON)
def test_one_member_has_any_value(place: tuple[str, tuple[str, ...]], value: Any) -> None:
    """All else is right."""
    platform, path = place
    headers, body = VALID[platform]
    assert isinstance(verdict(platform, headers, json.dumps(body).encode()), DirectSend)
    changed = json.loads(json.dumps(body))
    parent = changed
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = value
    assert isinstance(verdict(platform, headers, json.dumps(changed).encode()), DirectSend | Refusal)


@given(st.sampled_from(sorted(HANDLES)), HEADERS, BODIES)
def test_any_json(platform: str, headers: dict[str, str], body: Any) -> None:
    """Members of any type, and headers of any value."""
    assert isinstance(verdict(platform, headers, json.dumps(body).encode()), DirectSend | Refusal)


@given(st.sampled_from(sorted(HANDLES)), HEADERS, st.binary(max_size=40) | TOASTS.map(str.encode))
def test_any_bytes(platform: str, headers: dict[str, str], body: bytes) -> None:
    """Bodies that are no JSON and no XML."""
    assert isinstance(verdict(platform, headers, body), DirectSend | Refusal)


@given(
    st.text(max_size=20),
    st.text(max_size=20),
    st.dictionaries(
        st.sampled_from(["authorization", "servicebusnotification-format"]), st.text(max_size=60)
    ),
)
def test_any_address_and_token(path: str, query: str, headers: dict[str, str]) -> None:
    """Nothing of it is right."""
    request = HubRequest("POST", f"/{path}", query, headers, b"")
    assert isinstance(check_direct_send(request, DEVELOPMENT_HUB, 0), Refusal)
