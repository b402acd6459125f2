"""The error tree: what each error answers over HTTP and whether Event Grid should try again.

Nobody outside this module decides a status code, a stable error code or the fate of an event.
Messages are written by us and quote no input, so that they may be logged and answered as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One bad field of a request: where it is and what is wrong with it."""

    field: str
    """Path as the sender wrote it, such as `deviceInfos[0].platform`."""
    detail: str
    """What is wrong and what would be right; never the value itself."""


class ServiceError(Exception):
    """Root of every error that this app raises on purpose."""

    code: ClassVar[str] = "internal_error"
    """Stable name for logs, metrics and problem documents."""
    http_status: ClassVar[int] = 500
    title: ClassVar[str] = "The request failed"
    redeliver: ClassVar[bool] = True
    """True where a redelivery by Event Grid may mend it, or where the event must be kept as evidence."""
    retry_after_seconds: int | None = None
    """Seconds for the `Retry-After` header, where trying again makes sense."""

    def __init__(self, detail: str, *, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that belong to the answer over HTTP."""
        if self.retry_after_seconds is None:
            return {}
        return {"Retry-After": str(self.retry_after_seconds)}


class InvalidRequestError(ServiceError):
    """The caller sent something that cannot be right; sending it again changes nothing."""

    code = "invalid_request"
    http_status = 400
    title = "The request is not valid"
    redeliver = False


class RequestTooLargeError(ServiceError):
    """The body is larger than any request that makes sense."""

    code = "request_too_large"
    http_status = 413
    title = "The request is too large"
    redeliver = False


class UnauthenticatedError(ServiceError):
    """The caller did not show who it is: there is no bearer token, or it is not valid."""

    code = "unauthenticated"
    http_status = 401
    title = "A valid bearer token is needed"
    redeliver = False

    def __init__(self, detail: str, *, token_was_sent: bool = True) -> None:
        super().__init__(detail)
        self.token_was_sent = token_was_sent

    @property
    def headers(self) -> Mapping[str, str]:
        """The challenge, RFC 6750; without a token it names no error."""
        error = ', error="invalid_token"' if self.token_was_sent else ""
        return {"WWW-Authenticate": f'Bearer realm="registrar"{error}'}


class ForbiddenError(ServiceError):
    """The caller may not act for that user, whether or not the user has registered anything."""

    code = "forbidden"
    http_status = 403
    title = "Not allowed for this user"
    redeliver = False


class TooManyChangesError(ServiceError):
    """A user's registrations have been changed too often within a minute."""

    code = "too_many_changes"
    http_status = 429
    title = "Too many registration changes"
    redeliver = False

    def __init__(self, detail: str, *, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class IssuerUnavailableError(ServiceError):
    """The OpenID Connect issuer's keys cannot be fetched, so no token can be checked."""

    code = "issuer_unavailable"
    http_status = 503
    title = "The sign-in service is not available"
    redeliver = False
    retry_after_seconds = 5


class NotReadyError(ServiceError):
    """The app cannot do its work now; the health function names the part that fails."""

    code = "not_ready"
    http_status = 503
    title = "Not ready"
    redeliver = False
    retry_after_seconds = 5


class RegistrationNotFoundError(ServiceError):
    """There is no unexpired registration that fits."""

    code = "registration_not_found"
    http_status = 404
    title = "No such registration"
    redeliver = False


class DatabaseUnavailableError(ServiceError):
    """MongoDB did not answer, or refused: nothing is known about the devices."""

    code = "database_unavailable"
    http_status = 503
    title = "The database is not available"
    redeliver = True
    retry_after_seconds = 5


class ConfigurationError(ServiceError):
    """A setting is missing or wrong: an operator has to act, and trying again does not help."""

    code = "misconfigured"
    http_status = 503
    title = "The service is not configured correctly"
    redeliver = False
    retry_after_seconds = 60


class InvalidEventError(ServiceError):
    """An event that cannot be understood; raised so that Event Grid keeps it as a dead letter."""

    code = "invalid_event"
    redeliver = True


class PushTooLargeError(ServiceError):
    """A push that exceeds its platform's limit even without a display name; permanent for that device."""

    code = "push_too_large"
    redeliver = False


class DeliveryIncompleteError(ServiceError):
    """Some devices are left over with a transient failure; a redelivery rings those alone."""

    code = "delivery_incomplete"
    redeliver = True
