"""From what a caller sent to a typed value, or to one error that lists every bad field."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from models.errors import FieldError, InvalidRequestError
from models.requests import FieldRules, Mistake

WHOLE_BODY = "body"
"""The name that stands for the body as a whole."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_OURS = frozenset(Mistake)
_MESSAGES = {
    "missing": "is missing",
    "json_invalid": "must be JSON in UTF-8",
    "model_type": "must be a JSON object",
}
"""Instead of pydantic's own messages, by their type."""

_SHOWN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
_SIMILARITY = 0.7
"""Above that of any two names that the requests know."""


def field_path(location: tuple[str | int, ...]) -> str:
    """The path of a field, such as `deviceInfos[0].platform`."""
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path or WHOLE_BODY


def field_errors(error: ValidationError) -> list[FieldError]:
    """Every bad field of `error`; the messages are ours and quote no value."""
    details = error.errors(include_url=False)
    return [FieldError(field_path(detail["loc"]), _message(detail)) for detail in details]


def _message(detail: ErrorDetails) -> str:
    if detail["type"] in _OURS:
        return detail["msg"]
    message = _MESSAGES.get(detail["type"], "is not valid")
    if detail["type"] == "missing" and (similar := _similar_name(str(detail["loc"][-1]), detail["input"])):
        return f"{message}; you sent {similar}"
    return message


def _similar_name(name: str, sent: object) -> str | None:
    """The name that was probably meant for `name`. It is shown, so it has to look like a name."""
    if not isinstance(sent, Mapping):
        return None
    shown = {each.lower(): each for each in sent if isinstance(each, str) and _SHOWN_NAME.fullmatch(each)}
    found = get_close_matches(name.lower(), shown, n=1, cutoff=_SIMILARITY)
    return shown[found[0]] if found else None


def invalid_request(errors: Sequence[FieldError]) -> InvalidRequestError:
    """The error for a request with bad fields, which names them all."""
    names = ", ".join(dict.fromkeys(bad.field for bad in errors))
    return InvalidRequestError(f"Correct these and send the request again: {names}.", errors=errors)


def parse_json[Model: BaseModel](model: type[Model], body: bytes, rules: FieldRules | None = None) -> Model:
    """Read `body`, JSON in UTF-8 with or without a byte order mark, as `model`.

    Args:
        model: what to read.
        body: as it was sent.
        rules: the default ones if left out.

    Raises:
        InvalidRequestError: lists every bad field, or `body` if it is no JSON object.
    """
    try:
        return model.model_validate_json(body.removeprefix(BYTE_ORDER_MARK), context=rules)
    except ValidationError as error:
        raise invalid_request(field_errors(error)) from None  # the cause quotes what was sent


def parse_query[Model: BaseModel](
    model: type[Model], query: Mapping[str, str], rules: FieldRules | None = None
) -> Model:
    """Read the parameters of a query string as `model`.

    Args:
        model: what to read.
        query: the parameters, decoded.
        rules: the default ones if left out.

    Raises:
        InvalidRequestError: lists every bad or missing parameter.
    """
    try:
        return model.model_validate(dict(query), context=rules)
    except ValidationError as error:
        raise invalid_request(field_errors(error)) from None
