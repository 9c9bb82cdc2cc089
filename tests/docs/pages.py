"""README and the pages of docs/ as their readers see them: code blocks, links, and what is named where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
README: Final = ROOT / "README.md"
DOCS: Final = ROOT / "docs"

#: Every page that somebody has written; what it takes from the code by a directive is not a part of its text.
PAGES: Final = (README, *sorted(DOCS.glob("*.md")))

_BLOCK: Final = re.compile(
    r"^( *)```(\w+)\n(.*?)^\1```$(?:\n *<!-- (then|from Airflow)[: ](.*?) -->$)?", re.MULTILINE | re.DOTALL
)
_DIRECTIVE: Final = re.compile(r"^( *(`{3,}|:{3,}))\{([\w-]+)\} ?(.*?)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """
    One block of code on a page.

    :param then: what holds once it has run: an expression about ``sandbox``, in a comment below the block.
    :param since: the first Airflow that can run it, likewise.
    """

    page: Path
    line: int
    language: str
    code: str
    then: str = ""
    since: str = ""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True)
class Snippet:
    """A part of a file, shown between two of its marks."""

    page: Path
    file: Path
    options: dict[str, str]

    @property
    def text(self) -> str:
        """What is shown; fails where a mark is gone."""
        text = self.file.read_text("utf-8")
        for option, part in (("start-after", 2), ("end-before", 0)):
            if mark := self.options.get(option, "").strip("\"'"):
                assert mark in text, f"{self.page.name}: {self.file.name} has no {mark}"
                text = text.partition(mark)[part]
        return text


def blocks() -> list[Block]:
    """Return the blocks of all pages in a language that can be run or read; plain text is none."""
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[2], dedent(found[3]), **_comment(found))
        for page in PAGES
        for text in [page.read_text("utf-8")]
        for found in _BLOCK.finditer(text)
        if found[2] != "text"
    ]


def _comment(block: re.Match[str]) -> dict[str, str]:
    return {{"then": "then", "from Airflow": "since"}[block[4]]: block[5].strip()} if block[4] else {}


def snippets() -> Iterator[Snippet]:
    """Yield what the pages take from other files, word by word."""
    for page in PAGES:
        for found in _DIRECTIVE.finditer(page.read_text("utf-8")):
            if found[3] in ("literalinclude", "include"):
                options = dict(re.findall(r"^ *:([\w-]+): ?(.*)$", found[5], re.MULTILINE))
                yield Snippet(page, (page.parent / found[4]).resolve(), options)


def links() -> Iterator[tuple[Path, str]]:
    """Yield every page and what it links to on this side of the network."""
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text("utf-8")):
            yield page, target


def named() -> set[str]:
    """Return every word that a page of docs/ shows as code, alone or within a block."""
    text = "\n".join(page.read_text("utf-8") for page in PAGES if page != README)
    shown = [found[3] for found in _BLOCK.finditer(text)]
    shown += re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text))
    shown += [part.text for part in snippets() if part.file.suffix == ".py"]
    words = {word for part in shown for word in re.findall(r"[A-Za-z_][\w.-]*|\d[\d,.]*", part)}
    return words | {word.rpartition(".")[2] for word in words}
