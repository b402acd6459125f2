"""From what a caller sent to a validated value, or to one error that names every bad field."""

from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from models.device import FieldLimits
from models.errors import FieldError, InvalidRequestError

WHOLE_BODY = "body"
"""The field name for what is wrong with the body as a whole."""


def field_path(location: tuple[str | int, ...]) -> str:
    """The path of a field as its sender wrote it, such as `deviceInfos[0].platform`."""
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path or WHOLE_BODY


def field_errors(error: ValidationError) -> list[FieldError]:
    """Every bad field of `error`, without the values that were sent."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return [FieldError(field_path(detail["loc"]), detail["msg"]) for detail in details]


def _invalid(error: ValidationError) -> InvalidRequestError:
    errors = field_errors(error)
    names = ", ".join(dict.fromkeys(bad.field for bad in errors))
    return InvalidRequestError(f"Correct these and send the request again: {names}.", errors=errors)


def parse_json[Model: BaseModel](model: type[Model], body: bytes, limits: FieldLimits | None = None) -> Model:
    """Read `body`, UTF-8 JSON, as `model`; `limits` are the usual ones if left out.

    Raises:
        InvalidRequestError: names every bad field, or `body` where it is no JSON object.
    """
    try:
        return model.model_validate_json(body, context=limits)
    except ValidationError as error:
        raise _invalid(error) from None  # the cause quotes what was sent


def parse_query[Model: BaseModel](
    model: type[Model], query: Mapping[str, str], limits: FieldLimits | None = None
) -> Model:
    """Read the parameters of a query string as `model`; `limits` are the usual ones if left out.

    Raises:
        InvalidRequestError: names every bad or missing parameter.
    """
    try:
        return model.model_validate(dict(query), context=limits)
    except ValidationError as error:
        raise _invalid(error) from None
