"""What the app says about itself: structured log lines and fingerprints. No business rule.

Device tokens, keys, SAS tokens, call contexts and display names are never logged; a user or a device is
named by a fingerprint.
"""

import hashlib
import json
import logging

LOGGER_NAME = "acs_call_push"


def fingerprint(secret: str) -> str:
    """A short name for something that must not be written down: the same for the same input.

    Returns:
        The first 16 hexadecimal digits of its SHA-256.
    """
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()[:16]


def log(level: int, event: str, **fields: object) -> None:
    """Write one structured line: a JSON object whose `event` says what happened.

    Args:
        level: of `logging`.
        event: a stable name, to be searched for.
        fields: numbers, names and fingerprints; None is left out.
    """
    logger = logging.getLogger(LOGGER_NAME)
    if logger.isEnabledFor(level):
        known = {key: value for key, value in fields.items() if value is not None}
        logger.log(level, "%s", json.dumps({"event": event, **known}, default=str))
