"""A MongoDB that takes tokens of Microsoft Entra ID: a proxy that signs clients in by MONGODB-OIDC and passes
the rest on to a database that knows no sign-in.

Sources: MongoDB specifications, "Authentication" (MONGODB-OIDC, speculative authentication), "Command
Reauthentication"; the gateway of Azure DocumentDB (github.com/documentdb/documentdb, pg_documentdb_gw).
Codes: 13 Unauthorized, 18 AuthenticationFailed, 334 MechanismUnavailable, 391 ReauthenticationRequired.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import bson

from local.tcp_proxy import Direction, Link, Step
from tests.faults.identity_endpoint import DATABASE_RESOURCE, IdentityEndpoint, IssuedToken
from tests.faults.mongo_messages import (
    Message,
    error_document,
    message_body,
    parse_message,
    reply_message,
    with_body,
)
from tests.faults.mongo_proxy import MongoProxy

MECHANISM = "MONGODB-OIDC"
SIGN_IN_OPTIONS = f"authMechanism={MECHANISM}&directConnection=true&retryWrites=false"

_HELLO = frozenset({"hello", "ismaster", "isMaster"})
_Document = Mapping[str, Any]


class OidcProxy(MongoProxy):
    """Takes the tokens of an IdentityEndpoint; the faults of MongoProxy work as well.

    A token is good if the endpoint has made it for this resource, it has not ended, it has not been revoked,
    and its identity is a user. A command on a connection whose token is not good any more gets 391, also
    after a new sign-in that was refused.
    """

    def __init__(
        self, server_port: int, endpoint: IdentityEndpoint, *, resource: str = DATABASE_RESOURCE
    ) -> None:
        """Take the database, which makes tokens, and for which resource they have to be."""
        super().__init__(server_port)
        self.resource = resource
        self.users: set[str | None] = set(endpoint.identities)
        """Client ids of the identities that are users of the cluster."""
        self.knows_mechanism = True
        self.sign_ins: list[str | None] = []
        """Every token that clients have sent, in order; None for a sign-in without one."""
        self.refusals: list[int] = []
        """Every code of 13, 18, 334 and 391 that was answered, in order."""
        self._endpoint = endpoint
        self._revoked: set[str] = set()
        self._tokens: WeakKeyDictionary[Link, str] = WeakKeyDictionary()
        """By which each connection is signed in."""
        self._hellos: dict[tuple[Link, int], _Document] = {}
        """What is to be added to the answer to a hello."""

    def uri(self, user: str | None = None, options: str = SIGN_IN_OPTIONS) -> str:
        """The connection string, with the user name if there is one."""
        name = "" if user is None else f"{user}@"
        return f"mongodb://{name}127.0.0.1:{self.port}/?{options}"

    def revoke_tokens(self) -> None:
        """Take none of the tokens any more that have been made so far."""
        revoked = {token.text for token in self._endpoint.issued}
        self._run(lambda: self._revoked.update(revoked))

    def remove_user(self, client_id: str | None) -> None:
        """The identity is no user of the cluster any more; its connections get 391."""
        self._run(lambda: self.users.discard(client_id))

    def add_user(self, client_id: str | None) -> None:
        """The identity becomes a user of the cluster."""
        self._run(lambda: self.users.add(client_id))

    # --- in the proxy's thread

    def step(self, link: Link, direction: Direction, unit: bytes) -> Step:
        """Sign in, refuse, or pass on."""
        message = parse_message(unit)
        if direction is Direction.TO_CLIENT:
            addition = self._hellos.pop((link, message.response_to), None)
            if addition is not None:
                unit = with_body(unit, {**message_body(unit), **addition})
            return super().step(link, direction, unit)
        if message.command in _HELLO:
            return super().step(link, direction, self._hello(link, message, unit))
        answer = self._answers.get(str(message.command))
        if answer is not None:
            self.commands.append((str(message.command), message.collection))
            return _reply(message, answer(self, link, message_body(unit)))
        token = self._tokens.get(link)
        if token is None:
            return _reply(message, self._refusal(13, f"Command {message.command} requires authentication"))
        if not self._is_good(token):
            return _reply(message, self._refusal(391, "ReauthenticationRequired"))
        return super().step(link, direction, unit)

    def _hello(self, link: Link, message: Message, unit: bytes) -> bytes:
        """The hello without its speculative sign-in, whose result is added to the answer."""
        document = message_body(unit)
        start = document.pop("speculativeAuthenticate", None)
        if start is None:
            return unit
        answer = self._sasl_start(link, start)
        if answer["ok"]:
            done = {name: value for name, value in answer.items() if name != "ok"}
            self._hellos[link, message.request_id] = {"speculativeAuthenticate": done}
        return with_body(unit, document)

    def _sasl_start(self, link: Link, document: _Document) -> _Document:
        if not self.knows_mechanism or document.get("mechanism") != MECHANISM:
            return self._refusal(
                334, f"Received authentication for mechanism {MECHANISM} which is unknown or not enabled"
            )
        payload = bson.decode(document["payload"])
        if "jwt" in payload:
            return self._sign_in(link, payload["jwt"])
        # A client without a token asks where it can get one.
        information = {"issuer": "https://login.example.com/v2.0", "clientId": "native-client"}
        return {"ok": 1.0, "conversationId": 1, "done": False, "payload": bson.encode(information)}

    def _sasl_continue(self, link: Link, document: _Document) -> _Document:
        return self._sign_in(link, bson.decode(document["payload"]).get("jwt"))

    def _sign_in(self, link: Link, token: str | None) -> _Document:
        self.sign_ins.append(token)
        if token is None or not self._is_good(token):
            return self._refusal(18, "Authentication failed.")
        self._tokens[link] = token
        return {"ok": 1.0, "conversationId": 1, "done": True, "payload": b""}

    _answers: Mapping[str, Callable[["OidcProxy", Link, _Document], _Document]] = {
        "saslStart": _sasl_start,
        "saslContinue": _sasl_continue,
    }

    def _refusal(self, code: int, message: str) -> _Document:
        self.refusals.append(code)
        return error_document(code, message)

    def _is_good(self, text: str) -> bool:
        token = self._endpoint.token(text)
        return token is not None and text not in self._revoked and self._is_for_us(token)

    def _is_for_us(self, token: IssuedToken) -> bool:
        return (
            token.resource == self.resource
            and token.expires_at > time.time()
            and token.client_id in self.users
        )


def _reply(message: Message, document: _Document) -> Step:
    return Step(forward=None, reply=reply_message(message.request_id, document))
