"""Validation errors of pydantic in one line, without the values that were sent."""

from pydantic import ValidationError


def explain(error: ValidationError) -> str:
    """Name each wrong field and what is wrong with it."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in problems)
