"""A stand-in for the endpoint where an app in Azure gets the tokens of its managed identity, with faults.

Protocol: Microsoft, "Managed identities for App Service and Azure Functions", REST endpoint reference,
`api-version=2019-08-01`.
"""

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from local.server_thread import ServerThread
from local.startable import Startable
from tests.served_application import serve_application

API_VERSION = "2019-08-01"
DATABASE_RESOURCE = "https://ossrdbms-aad.database.windows.net"
CLIENT_ID = "0c5fd6f1-0000-4000-8000-0000000000aa"
"""Of the identity that the endpoint knows unless told otherwise."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token that the endpoint has made."""

    text: str = field(repr=False)
    client_id: str | None
    """None for the system-assigned identity."""
    resource: str
    expires_at: float
    """Unix time."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What was asked for."""

    client_id: str | None
    resource: str | None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]


class IdentityEndpoint(Startable):
    """Hands out tokens: `with IdentityEndpoint() as endpoint: settings = {**endpoint.environment()}`.

    Every method acts at once, from any thread. `restore` ends all faults. `stop` and `start` make it
    unreachable and bring it back on the same port.
    """

    def __init__(self, *client_ids: str | None) -> None:
        """Take the identities that it knows: client ids, None for the system-assigned one."""
        self.identities: set[str | None] = set(client_ids or {CLIENT_ID})
        self.lifetime_seconds = 3600.0
        """Of the tokens that are made from now on."""
        self.keeps_tokens = False
        """Hand the last token out again as long as it lives, as Azure's endpoint does."""
        self.issued: list[IssuedToken] = []
        """In order; a token that was handed out again is there once."""
        self.requests: list[TokenRequest] = []
        self.port = 0
        self._header = secrets.token_hex(16)
        self._answer: _Answer | None = None
        self._delay = 0.0
        self._seconds_per_byte = 0.0
        self._hangs = False
        self._is_running = False
        self._server = ServerThread("identity-endpoint", self._serve)

    # --- for tests

    def environment(self) -> dict[str, str]:
        """The variables by which azure-identity finds it."""
        return {
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{self.port}/msi/token",
            "IDENTITY_HEADER": self._header,
        }

    def secrets(self) -> list[str]:
        """What must be written down nowhere: the header's value, every token, and the halves of each."""
        pieces = [piece for token in self.issued for piece in token.text.split(".") if piece]
        return [self._header, *(token.text for token in self.issued), *pieces]

    def token(self, text: str) -> IssuedToken | None:
        """The token with this text, if it was made here."""
        return next((token for token in self.issued if token.text == text), None)

    def hand_out(self, client_id: str | None, resource: str = DATABASE_RESOURCE) -> str:
        """A token without a request for it."""
        return self._make(client_id, resource).text

    def answer(self, status: int, body: object = None, headers: Mapping[str, str] | None = None) -> None:
        """Answer every request like this, without a token unless `body` has one.

        Args:
            status: of HTTP.
            body: bytes as they are, or what is written as JSON.
            headers: such as `Retry-After`.
        """
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._answer = _Answer(status, content, headers or {})

    def be_slow(self, seconds: float) -> None:
        """Answer late."""
        self._delay = seconds

    def drip(self, seconds_per_byte: float) -> None:
        """Answer byte by byte."""
        self._seconds_per_byte = seconds_per_byte

    def hang(self) -> None:
        """Take requests and answer none; requests that hang are answered after `restore`."""
        self._hangs = True

    def restore(self) -> None:
        """End all faults."""
        self._answer, self._delay, self._seconds_per_byte, self._hangs = None, 0.0, 0.0, False

    def start(self) -> None:
        """Listen; after a stop on the same port. No effect while it does."""
        if not self._is_running:
            self.port = self._server.start()
            self._is_running = True

    def stop(self) -> None:
        """Close the port and every connection."""
        self._server.stop()
        self._is_running = False

    # --- in the server's thread

    async def _serve(self, listening: Callable[[int], None], stopping: asyncio.Event) -> None:
        application = web.Application()
        application.router.add_get("/msi/token", self._handle)
        await serve_application(application, self.port, listening, stopping)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        self.requests.append(TokenRequest(query.get("client_id"), query.get("resource")))
        if self._delay:
            await asyncio.sleep(self._delay)
        while self._hangs:
            await asyncio.sleep(0.02)
        answer = self._answer or self._token_answer(request)
        headers = {"Content-Type": "application/json", **answer.headers}
        if not self._seconds_per_byte:
            return web.Response(status=answer.status, body=answer.body, headers=headers)
        response = web.StreamResponse(status=answer.status, headers=headers)
        response.content_length = len(answer.body)
        await response.prepare(request)
        for value in answer.body:
            await response.write(bytes([value]))
            await asyncio.sleep(self._seconds_per_byte)
        return response

    def _token_answer(self, request: web.Request) -> _Answer:
        if request.headers.get("X-IDENTITY-HEADER") != self._header:
            return _refusal(401, "the header X-IDENTITY-HEADER is missing or wrong")
        query = request.query
        if query.get("api-version") != API_VERSION or not query.get("resource"):
            return _refusal(400, "api-version or resource is missing or wrong")
        client_id = query.get("client_id")
        if client_id not in self.identities:
            return _refusal(400, "No User Assigned or Delegated Managed Identity found")
        token = self._make(client_id, query["resource"])
        document = {
            "access_token": token.text,
            "expires_on": str(int(token.expires_at)),
            "resource": token.resource,
            "token_type": "Bearer",
            "client_id": client_id or "system",
        }
        return _Answer(200, json.dumps(document).encode(), {})

    def _make(self, client_id: str | None, resource: str) -> IssuedToken:
        now = time.time()
        last = next(
            (t for t in reversed(self.issued) if (t.client_id, t.resource) == (client_id, resource)), None
        )
        if self.keeps_tokens and last is not None and last.expires_at > now:
            return last
        expires_at = now + self.lifetime_seconds
        claims = {"aud": resource, "appid": client_id, "exp": int(expires_at), "uti": secrets.token_hex(8)}
        text = f"{_part({'alg': 'RS256', 'typ': 'JWT'})}.{_part(claims)}.{secrets.token_urlsafe(32)}"
        token = IssuedToken(text, client_id, resource, expires_at)
        self.issued.append(token)
        return token


def _part(content: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def _refusal(status: int, message: str) -> _Answer:
    return _Answer(status, json.dumps({"statusCode": status, "message": message}).encode(), {})
