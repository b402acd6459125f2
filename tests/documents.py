"""What the documents hold: links, code spans, blocks of code, tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
_NOT_OURS = frozenset({"node_modules", "__pycache__", "results"})
"""Folders that hold no file of the project's; so do hidden ones, apart from `_HIDDEN`."""
_HIDDEN = frozenset({".github", ".devcontainer", ".vscode", ".ci"})
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_LINK = re.compile(r"\]\(([^()\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    language: str
    """Empty where the fence names none."""
    code: str
    """Without the indentation of the fence."""
    line: int
    """Of the opening fence, from 1."""


@dataclass(frozen=True)
class Document:
    """A Markdown file."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """Its path from the top of the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def blocks(self) -> list[Block]:
        """Every block of code."""
        return [
            Block(
                language=found[2],
                code=re.sub(rf"^{found[1]}", "", found[3], flags=re.MULTILINE),
                line=self.text.count("\n", 0, found.start()) + 1,
            )
            for found in _FENCE.finditer(self.text)
        ]

    @property
    def prose(self) -> str:
        """The text without its blocks of code."""
        return _FENCE.sub("", self.text)

    @property
    def spans(self) -> list[str]:
        """The code spans in the prose; line breaks in them are blanks."""
        return [" ".join(span.split()) for span in _SPAN.findall(self.prose)]

    @property
    def links(self) -> list[str]:
        """The targets of the prose's links."""
        text = _SPAN.sub("", self.prose)
        return [*_LINK.findall(text), *re.findall(r'(?:src|srcset|href)="([^"]+)"', text)]

    @property
    def anchors(self) -> set[str]:
        """What a link may name after `#`, by GitHub's rules."""
        found: dict[str, int] = {}
        anchors = set()
        for heading in re.findall(r"^#+ (.*)$", self.prose, re.MULTILINE):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
            slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
            times = found.get(slug, 0)
            found[slug] = times + 1
            anchors.add(f"{slug}-{times}" if times else slug)
        return anchors

    def section(self, heading: str) -> str:
        """The text below a heading, up to the next one of its level or above.

        Raises:
            KeyError: there is no such heading.
        """
        found = re.search(rf"^(#+) {re.escape(heading)}$", self.text, re.MULTILINE)
        if not found:
            raise KeyError(heading)
        rest = self.text[found.end() :]
        following = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
        return rest[: following.start()] if following else rest


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of the text's tables, without headings."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        follows = lines[number + 1] if number + 1 < len(lines) else ""
        if (
            line.startswith("|")
            and not re.fullmatch(r"[|\-: ]+", line)
            and not re.fullmatch(r"[|\-: ]+", follows)
        ):
            yield [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def coded(cell: str) -> list[str]:
    """The code spans of a cell."""
    return _SPAN.findall(cell)


@cache
def document(name: str) -> Document:
    """The document of that path from the top of the repository."""
    path = ROOT / name
    return Document(path, path.read_text(encoding="utf-8"))


@cache
def project_files() -> tuple[Path, ...]:
    """Every file of the project, without what commands have made."""
    found = []
    for folder, folders, names in ROOT.walk():
        folders[:] = [name for name in folders if name in _HIDDEN or not name.startswith(".")]
        folders[:] = [name for name in folders if name not in _NOT_OURS]
        found += [folder / name for name in names if not (folder / name).is_symlink() and name != ".git"]
    return tuple(sorted(found))


@cache
def documents() -> tuple[Document, ...]:
    """Every document of the repository."""
    pages = [path for path in project_files() if path.suffix == ".md"]
    return tuple(document(path.relative_to(ROOT).as_posix()) for path in pages)
