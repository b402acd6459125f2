"""`incomingCallContext` of the event → `cp` of the push.

The context has three dot-separated parts: a base64url header that says `alg: none`, the base64 of a JSON
object, and nothing. The object holds `cc` (base64, passed on unchanged) and mostly `shrToken`, a credential.
Since nothing is signed, trust comes from who may reach the Event Grid endpoint. Neither the context nor a
part of it is ever quoted in an error.
"""

import base64
import binascii
import json

from models.errors import InvalidEventError


def call_context(incoming_call_context: str | None) -> str:
    """The `cc` of the context, exactly as it stands there.

    Raises:
        InvalidEventError: there is no usable context; the message says which part is wrong.
    """
    if not incoming_call_context:
        raise _invalid("it is missing")
    parts = incoming_call_context.split(".")
    if len(parts) not in {2, 3}:
        raise _invalid("it does not have three parts separated by dots")
    cc = _claims(parts[1]).get("cc")
    if not isinstance(cc, str) or not cc:
        raise _invalid("its middle part has no cc")
    if not _decode(cc):
        raise _invalid("its cc is not base64")
    return cc


def _claims(part: str) -> dict[str, object]:
    decoded = _decode(part)
    if decoded is None:
        raise _invalid("its middle part is not base64")
    try:
        claims = json.loads(decoded)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise _invalid("its middle part is not a JSON object")
    return claims


def _decode(text: str) -> bytes | None:
    """Base64 in either alphabet and with any padding, decoded; None if it is not that."""
    unpadded = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _invalid(what: str) -> InvalidEventError:
    return InvalidEventError(f"The event cannot be understood: data.incomingCallContext is unusable: {what}.")
