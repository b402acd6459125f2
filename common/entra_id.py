"""Tokens of Microsoft Entra ID for the database, through azure-identity: the app's managed identity, or the
developer who runs a command.

azure-identity is imported where a token is asked for and nowhere else: with what it imports it takes a
quarter of a second.
"""

import logging
from typing import TYPE_CHECKING, Any

from common import telemetry
from common.access_tokens import AccessToken, AccessTokens, NoTokenError
from common.clock import Clock
from models import known_causes
from models.database_sign_in import SignInIdentity

if TYPE_CHECKING:
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

_CONNECT_SECONDS = 2.0
_READ_SECONDS = 5.0
_COMMAND_SECONDS = 20
"""For `az`, which takes seconds to start."""

_REMEDY = (
    "See whether the function app has this identity (portal, the function app, Settings, Identity), and "
    "whether the setting holds its client id. If both are right, Azure's identity endpoint is at fault: the "
    "app goes on asking."
)

NO_TOKEN_EVENT = "no_database_token"  # noqa: S105  # nosec B105 - the name of a log line


def tokens_of_managed_identity(identity: SignInIdentity, clock: Clock) -> AccessTokens:
    """The tokens of the function app's identity; where there are none, the log says so."""

    def tell(level: int, answer: str) -> None:
        telemetry.log(
            level,
            NO_TOKEN_EVENT,
            identity=str(identity),
            setting=identity.setting,
            answer=answer,
            remedy=_REMEDY,
        )

    return AccessTokens(lambda: _ask_managed_identity(identity), known_causes.NO_TOKEN, clock, tell)


def tokens_of_developer(scope: str, clock: Clock) -> AccessTokens:
    """The tokens of who is signed in on this machine, with `az login` for instance."""
    return AccessTokens(lambda: _ask_developer(scope), known_causes.NOT_SIGNED_IN, clock)


def _ask_managed_identity(identity: SignInIdentity) -> AccessToken:
    """A token, in the end from the endpoint that IDENTITY_ENDPOINT names.

    The credential is a new one each time: it keeps its tokens until shortly before their end, refused or not,
    and answers 429 and 5xx from its memory for as long as `Retry-After` says.

    Raises:
        NoTokenError: there is none.
    """
    from azure.identity import ManagedIdentityCredential  # noqa: PLC0415

    _silence()
    answers: list[tuple[int, str | None]] = []

    def note(response: Any) -> None:  # noqa: ANN401 - azure-core's PipelineResponse, whose types are generic
        answer = response.http_response
        answers.append((answer.status_code, answer.headers.get("Retry-After")))

    credential = ManagedIdentityCredential(
        client_id=identity.client_id,
        connection_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retry_total=0,
        # The endpoint is on this machine: a proxy of the environment must not see IDENTITY_HEADER.
        use_env_settings=False,
        raw_response_hook=note,
    )
    return _token(credential, identity.scope, answers)


def _ask_developer(scope: str) -> AccessToken:
    """A token by any sign-in that azure-identity finds.

    Raises:
        NoTokenError: there is none.
    """
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    _silence()
    return _token(DefaultAzureCredential(process_timeout=_COMMAND_SECONDS), scope, [])


def _token(
    credential: "ManagedIdentityCredential | DefaultAzureCredential",
    scope: str,
    answers: list[tuple[int, str | None]],
) -> AccessToken:
    try:
        with credential:
            info = credential.get_token_info(scope)
    except Exception as error:  # noqa: BLE001 - it raises what JSON and sockets raise too
        # Its text may quote the answer, and the answer a token.
        status, retry_after = answers[-1] if answers else (None, None)
        raise NoTokenError(_words(status, error), _seconds(retry_after)) from None
    return AccessToken(info.token, float(info.expires_on))


def _words(status: int | None, error: Exception) -> str:
    if status is None:
        return f"no HTTP answer ({type(error).__name__})"
    return f"HTTP {status}" if status >= 400 else f"HTTP {status} without a token"


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None


def _silence() -> None:
    """Keep the library from logging: an answer that is no JSON goes whole into a warning, token and all."""
    for name in ("azure.identity", "msal"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    logging.getLogger("azure.core").setLevel(logging.WARNING)
