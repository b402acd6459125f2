"""Ids as people paste them: quoted, with white space or invisible characters around them, URL-encoded."""

import unicodedata
from urllib.parse import unquote

_AROUND = " \u00a0,;\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"


def pasted(text: str) -> str:
    """The id in a pasted text. Its letter case stays."""
    visible = "".join(character for character in text if unicodedata.category(character) not in {"Cf", "Cc"})
    bare = visible.strip(_AROUND)
    # An MRI holds no % and an encoded one no colon.
    return unquote(bare).strip() if "%" in bare and ":" not in bare else bare
