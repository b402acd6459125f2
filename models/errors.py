"""The errors that this app raises on purpose, and what each answers over HTTP.

    ServiceError
    ├── a request that cannot be served as it is
    │   ├── InvalidRequestError         400
    │   ├── UnauthenticatedError        401
    │   ├── ForbiddenError              403
    │   ├── RegistrationNotFoundError   404
    │   ├── CallNotFoundError           404
    │   ├── RequestTooLargeError        413
    │   ├── TooManyChangesError         429
    │   └── TooManyReportsError         429
    ├── a fault that passes
    │   ├── DatabaseUnavailableError    503
    │   ├── IssuerUnavailableError      503
    │   └── NotReadyError               503
    ├── a configuration that an operator has to correct
    │   ├── ConfigurationError          503
    │   └── UnsupportedServerError      503
    └── events and pushes, never answered over HTTP
        ├── InvalidEventError
        ├── PushTooLargeError
        └── DeliveryIncompleteError

Messages are written by us and quote no input, so they can be logged and answered as they are. Which of them
Event Grid hears of is decided in `push/trigger.py`.
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
    """Base class."""

    code: ClassVar[str] = "internal_error"
    """Stable name for logs, metrics and problem documents."""
    http_status: ClassVar[int] = 500
    title: ClassVar[str] = "The request failed"
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
    """The request is malformed; sending it again changes nothing."""

    code = "invalid_request"
    http_status = 400
    title = "The request is not valid"


class RequestTooLargeError(ServiceError):
    """The body is larger than `MaxBodyBytes`."""

    code = "request_too_large"
    http_status = 413
    title = "The request is too large"


class UnauthenticatedError(ServiceError):
    """The request has no valid bearer token."""

    code = "unauthenticated"
    http_status = 401
    title = "A valid bearer token is needed"

    def __init__(self, detail: str, *, token_was_sent: bool = True) -> None:
        super().__init__(detail)
        self.token_was_sent = token_was_sent

    @property
    def headers(self) -> Mapping[str, str]:
        """The challenge, RFC 6750; without a token it names no error."""
        error = ', error="invalid_token"' if self.token_was_sent else ""
        return {"WWW-Authenticate": f'Bearer realm="registrar"{error}'}


class ForbiddenError(ServiceError):
    """The caller may not act for that user. The answer does not depend on what is stored."""

    code = "forbidden"
    http_status = 403
    title = "Not allowed for this user"


class _RateError(ServiceError):
    """Too many requests of one kind have come for a user within a minute."""

    counted: ClassVar[str]
    """What there were too many of."""

    def __init__(self, detail: str, *, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class TooManyChangesError(_RateError):
    """A user's registrations have been changed too often within a minute."""

    code = "too_many_changes"
    http_status = 429
    title = "Too many registration changes"
    counted = "changes"


class TooManyReportsError(_RateError):
    """A user's devices have reported too often within a minute."""

    code = "too_many_reports"
    http_status = 429
    title = "Too many reports"
    counted = "reports"


class IssuerUnavailableError(ServiceError):
    """The OpenID Connect issuer's keys cannot be fetched, so no token can be checked."""

    code = "issuer_unavailable"
    http_status = 503
    title = "The sign-in service is not available"
    retry_after_seconds = 5


class NotReadyError(ServiceError):
    """The app cannot do its work now; the health function names the part that fails."""

    code = "not_ready"
    http_status = 503
    title = "Not ready"
    retry_after_seconds = 5


class RegistrationNotFoundError(ServiceError):
    """There is no such unexpired registration."""

    code = "registration_not_found"
    http_status = 404
    title = "No such registration"


class CallNotFoundError(ServiceError):
    """No such call has rung for that user within the day, or the user has no such device."""

    code = "call_not_found"
    http_status = 404
    title = "No such call"


class DatabaseUnavailableError(ServiceError):
    """MongoDB cannot be reached or does not answer in time."""

    code = "database_unavailable"
    http_status = 503
    title = "The database is not available"
    retry_after_seconds = 5


class ConfigurationError(ServiceError):
    """A setting is missing or wrong, or a service refuses what the settings name."""

    code = "misconfigured"
    http_status = 503
    title = "The service is not configured correctly"
    retry_after_seconds = 60


class UnsupportedServerError(ConfigurationError):
    """The database is too old for the driver: no other instance and no later time changes that."""


class InvalidEventError(ServiceError):
    """An event that cannot be understood."""

    code = "invalid_event"


class PushTooLargeError(ServiceError):
    """A push exceeds its platform's limit even without a display name."""

    code = "push_too_large"


class DeliveryIncompleteError(ServiceError):
    """Some devices are left over; a redelivery of the event sends to those alone."""

    code = "delivery_incomplete"
