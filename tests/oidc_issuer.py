"""An OpenID Connect issuer on loopback with real keys, which can rotate, go down, come back and be slow."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt import algorithms

from local.server_thread import ServerThread
from local.startable import Startable
from tests.served_application import serve_application

AUDIENCE = "api://registrar"
ADMIN_ROLE = "Registrar.Admin"

type PrivateKey = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
)

_CURVES: Mapping[str, Callable[[], ec.EllipticCurve]] = {
    "ES256": ec.SECP256R1,
    "ES384": ec.SECP384R1,
    "ES512": ec.SECP521R1,
    "ES256K": ec.SECP256K1,
}


def new_private_key(algorithm: str = "RS256") -> PrivateKey:
    """A key that can sign with the algorithm."""
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm]())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


@dataclass(frozen=True)
class SigningKey:
    """A key pair as an issuer publishes it."""

    key_id: str
    algorithm: str = "RS256"
    private: PrivateKey = field(default_factory=new_private_key, repr=False)

    @classmethod
    def new(cls, key_id: str, algorithm: str = "RS256") -> Self:
        """A fresh pair for the algorithm."""
        return cls(key_id, algorithm, new_private_key(algorithm))

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The public half as RFC 7517; a change to None leaves a member out."""
        entry = {**self._public(), "kid": self.key_id, "use": "sig", "alg": self.algorithm, **changes}
        return {name: value for name, value in entry.items() if value is not None}

    def sign(self, claims: Mapping[str, Any], **header: Any) -> str:
        """A token; what `header` names is added to it or replaced in it."""
        return jwt.encode(
            dict(claims),
            self.private,
            algorithm=str(header.pop("alg", self.algorithm)),
            headers={"kid": self.key_id, **header},
        )

    def public_pem(self) -> bytes:
        """The public half."""
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def private_pem(self) -> str:
        """The private half, to look for in places where it must not be."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def _public(self) -> dict[str, Any]:
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            return dict(algorithms.RSAAlgorithm.to_jwk(public, as_dict=True))
        if isinstance(public, ec.EllipticCurvePublicKey):
            return dict(algorithms.ECAlgorithm.to_jwk(public, as_dict=True))
        return dict(algorithms.OKPAlgorithm.to_jwk(public, as_dict=True))


@cache
def _first_key() -> SigningKey:
    # Making one takes a tenth of a second.
    return SigningKey.new("key-1")


class OidcIssuer(Startable):
    """Serves discovery and JWKS from a thread of its own: ``with OidcIssuer() as issuer: … issuer.url``.

    ``stop`` and ``start`` in between make it unreachable and bring it back on the same port.
    """

    def __init__(self) -> None:
        self.key = _first_key()
        self.keys: list[dict[str, Any]] = [self.key.jwk()]
        """What the JWKS holds; to be changed at will."""
        self.discovery: dict[str, Any] = {}
        """What the discovery document says instead of, or beside, the usual."""
        self.status = 200
        self.body: bytes | None = None
        """What is answered instead of any document."""
        self.delay_seconds = 0.0
        self.leading_spaces = 0
        """Before each document, which JSON allows."""
        self.on_space: Callable[[], object] | None = None
        """Called after each of them, which is then sent by itself."""
        self.fetches = 0
        """How often the JWKS was asked for."""
        self.requests = 0
        self._port = 0
        self._server = ServerThread("oidc-issuer", self._serve)

    @property
    def url(self) -> str:
        """As it stands in the tokens' `iss`."""
        return f"http://127.0.0.1:{self._port}/tenant/v2.0"

    def settings(self, **more: str) -> dict[str, str]:
        """The app settings that make this the issuer, with an admin role."""
        usual = {
            "RegistrarAccess": "oidc",
            "OidcIssuer": self.url,
            "OidcAudience": AUDIENCE,
            "OidcAdminRole": ADMIN_ROLE,
        }
        return {**usual, **more}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a good token; a change to None leaves one out."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": AUDIENCE, "sub": "subject", "iat": now, "exp": now + 600}
        return {name: value for name, value in {**usual, **changes}.items() if value is not None}

    def token(self, **changes: Any) -> str:
        """A token that is good, but for the changes of its claims."""
        return self.key.sign(self.claims(**changes))

    def rotate(self, key_id: str, algorithm: str = "RS256") -> SigningKey:
        """Sign with a new key from now on, and forget the old one."""
        self.key = SigningKey.new(key_id, algorithm)
        self.keys = [self.key.jwk()]
        return self.key

    def start(self) -> None:
        """Returns once it listens."""
        self._port = self._server.start()

    def stop(self) -> None:
        """Stop listening; does nothing to a stopped one."""
        self._server.stop()

    async def _serve(self, listening: Callable[[int], None], stopping: asyncio.Event) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        await serve_application(app, self._port, listening, stopping)

    async def _trickled(
        self, request: web.Request, body: bytes, on_space: Callable[[], object]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(self.leading_spaces):
            await response.write(b" ")
            on_space()
            await asyncio.sleep(0.01)
        await response.write(body)
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        documents: dict[str, dict[str, Any]] = {
            "/tenant/v2.0/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
                **self.discovery,
            },
            "/tenant/v2.0/keys": {"keys": self.keys},
        }
        self.fetches += request.path.endswith("/keys")
        await asyncio.sleep(self.delay_seconds)
        if self.status in {301, 302, 307}:
            return web.Response(status=self.status, headers={"Location": f"{request.path}/elsewhere"})
        if request.path not in documents:
            return web.Response(status=404)
        body = self.body if self.body is not None else json.dumps(documents[request.path]).encode()
        if self.on_space is not None:
            return await self._trickled(request, body, self.on_space)
        body = b" " * self.leading_spaces + body
        return web.Response(status=self.status, body=body, content_type="application/json")


def encoded(part: object) -> str:
    """A part of a token: JSON, or bytes as they are, in base64url without padding."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header: object, claims: object, signature: bytes = b"") -> str:
    """A token that no library would make."""
    return f"{encoded(header)}.{encoded(claims)}.{encoded(signature)}"
