"""The error of a sign-in to MongoDB without a token. Apart from what gets tokens, which few deployments
import."""

from pymongo import errors

from models.known_causes import Cause


class TokenError(errors.PyMongoError):
    """The driver gets no token. It keeps its connections: they do not depend on this."""

    def __init__(self, cause: Cause, wait_seconds: float | None = None) -> None:
        """Take the cause, and how long to wait before the next try."""
        super().__init__(str(cause))
        self.cause = cause
        self.wait_seconds = wait_seconds
