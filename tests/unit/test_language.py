"""Words that this project does not use in documents, docstrings and comments: metaphors, and vague subjects.

CONTRIBUTING.md, "Language", has the rule. Names and messages are not looked at.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT, documents, project_files

INSTEAD = {
    "house": "the project, the app",
    "wing": "the package's name",
    "lobby": "the module's name",
    "whoever": "the user, the caller, the operator who …",
    "nobody": "no caller, no operator, no device",
    "somebody": "a user, a caller, an operator",
    "anybody": "any caller, any user",
    "everybody": "every caller, every user",
    "shall": "must, is, does",
    "befall": "happen to",
    "himself": "themselves",
    "loud": "a line at CRITICAL, fails the start: what happens",
    "loudly": "the same",
}
FORMS = re.compile(r"\b(" + "|".join(INSTEAD) + r")s?\b", re.IGNORECASE)


def told(path: Path) -> Iterator[str]:
    """The docstrings and comments of a Python file."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield str(node.value.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def objections(text: str) -> list[str]:
    return [f"{word}: write {INSTEAD[word.lower().removesuffix('s')]}" for word in FORMS.findall(text)]


def test_documents() -> None:
    """No document uses them."""
    found = {page.name: objections(page.prose) for page in documents()}
    assert {name: words for name, words in found.items() if words} == {}


def test_code() -> None:
    """No docstring and no comment uses them."""
    pages = [path for path in project_files() if path.suffix == ".py" and path != Path(__file__)]
    found = {str(path.relative_to(ROOT)): objections("\n".join(told(path))) for path in pages}
    assert {name: words for name, words in found.items() if words} == {}


@pytest.mark.parametrize("text", ["Nobody knows.", "both wings", "it shall ring"])
def test_objections(text: str) -> None:
    """A word is found in any form."""
    assert len(objections(text)) == 1
