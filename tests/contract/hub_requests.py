"""Valid requests to the hub simulator, signed without the app's and the simulator's code.

Source: Service Bus, "Shared Access Signature authentication".
"""

import base64
import hashlib
import hmac
import json
import time
import urllib.parse
from dataclasses import dataclass, replace

import requests

from local.hub.config import AccessRule, HubConfig

HUB = HubConfig(
    namespace="Contoso-NS",
    hub_name="Ring",
    rules={
        "send only": AccessRule(key="c2VuZA==", rights=frozenset({"Send"})),
        "listen": AccessRule(key="bGlzdGVu", rights=frozenset({"Listen"})),
    },
)
AUDIENCE = "https://contoso-ns.servicebus.windows.net/ring"
TIMEOUT = 30.0
"""Seconds for what a test waits for without measuring it."""

HANDLE = "a1" * 32
ENDPOINT = "https://push.example.com/wpush/v2/abc"
P256DH = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
TOAST = (
    '<toast launch="{&quot;callId&quot;:&quot;call-1&quot;}"><visual><binding template="ToastGeneric">'
    "<text>Missed call</text><text>Ann &amp; Bob</text></binding></visual></toast>"
)
FCM_HANDLE = "dQw4w9WgXcQ:APA91bH-_abc"
CHANNEL = "https://db5.notify.windows.com/?token=AwYAAAB"


def sas(uri: str, key_name: str, key: str, expiry: object) -> str:
    """A SAS token, made without the app's and the simulator's code."""
    resource = urllib.parse.quote(uri, safe="")
    digest = hmac.new(key.encode(), f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
    sig, name = (urllib.parse.quote(each, safe="") for each in (base64.b64encode(digest), key_name))
    return f"SharedAccessSignature sr={resource}&sig={sig}&se={expiry}&skn={name}"


def good_token(uri: str = AUDIENCE, lifetime: int = 300) -> str:
    """A token of the policy with the Send right."""
    return sas(uri, "send only", "c2VuZA==", int(time.time()) + lifetime)


@dataclass(frozen=True)
class Send:
    """A request to send; a header that is `None` is left out."""

    headers: dict[str, str | None]
    body: bytes
    path: str = "/ring/messages/"
    query: str = "direct&api-version=2020-06"
    method: str = "POST"

    def with_headers(self, **changes: str | None) -> "Send":
        """Underscores stand for hyphens, `SBN_` for the service's prefix."""
        named = {
            name.replace("SBN_", "ServiceBusNotification-").replace("_", "-"): value
            for name, value in changes.items()
        }
        return replace(self, headers=self.headers | named)

    def with_json(self, value: object) -> "Send":
        """With another body."""
        return replace(self, body=json.dumps(value).encode())

    def to(self, url: str, *, verify: bool | str = True) -> requests.Response:
        """Send it to the hub at `url` over a new connection."""
        headers = {name: value for name, value in self.headers.items() if value is not None}
        target = f"{url}{self.path}?{self.query}"
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                self.method, target, data=self.body, headers=headers, timeout=TIMEOUT, verify=verify
            )


def _send(platform: str, content_type: str, body: object, **headers: str) -> Send:
    send = Send({"Authorization": good_token(), "Content-Type": content_type}, json.dumps(body).encode())
    return send.with_headers(SBN_Format=platform, SBN_DeviceHandle=HANDLE, **headers)


def apple() -> Send:
    """A VoIP push for iOS."""
    return _send(
        "apple",
        "application/json;charset=utf-8",
        {"aps": {}, "data": {"callId": "call-1", "eventId": 107}},
        apns_push_type="voip",
        SBN_Apns_Push_Type="voip",
        apns_priority="10",
        apns_expiration="1769860800",
        SBN_Apns_Expiry="2026-01-31T12:00:00Z",
    )


def fcm() -> Send:
    """A data message for Android."""
    message = {"android": {"priority": "high", "ttl": "30s"}, "data": {"callId": "call-1", "eventId": "107"}}
    send = _send("fcmv1", "application/json;charset=utf-8", {"message": message})
    return send.with_headers(SBN_DeviceHandle=FCM_HANDLE)


def windows() -> Send:
    """A raw push for Windows."""
    body = {"data": {"callId": "call-1"}}
    send = _send("windows", "application/octet-stream", body, X_WNS_Type="wns/raw", X_WNS_TTL="30")
    return send.with_headers(SBN_DeviceHandle=CHANNEL)


def alert(**aps: object) -> Send:
    """A visible notification for iOS, with these members of `aps` beside its alert."""
    shown = {"alert": {"title": "Missed call", "body": "Ann"}, "sound": "default", **aps}
    send = apple().with_json({"aps": shown, "data": {"callId": "call-1", "event": "missedCall"}})
    return send.with_headers(apns_push_type="alert", SBN_Apns_Push_Type="alert", apns_collapse_id="call-1")


def toast(body: str = TOAST) -> Send:
    """A visible notification for Windows."""
    send = windows().with_headers(X_WNS_Type="wns/toast", Content_Type="application/xml")
    return replace(send, body=body.encode())


def browser(**body: object) -> Send:
    """A push for a browser, with these members beside the ids."""
    send = _send("browser", "application/json;charset=utf-8", {"eventId": 107, "callId": "call-1", **body})
    return send.with_headers(SBN_DeviceHandle=ENDPOINT, P256DH=P256DH, Auth=AUTH)


def base64url(value: bytes) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def fcm_message(**message: object) -> Send:
    """An FCM push with this message."""
    return fcm().with_json({"message": message})


def padded(send: Send, size: int) -> Send:
    """The same JSON, padded to `size` bytes with white space."""
    return replace(send, body=send.body.ljust(size))
