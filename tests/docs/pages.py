"""README and the pages of docs/ as their readers see them: code blocks, links, and what is named where."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Final

from write_pages import CODE, REPOSITORY

ROOT: Final = Path(__file__).parent.parent.parent
README: Final = ROOT / "README.md"
DOCS: Final = ROOT / "docs"

#: Every page that somebody has written.
PAGES: Final = (README, *sorted(DOCS.glob("*.md")))

_BLOCK: Final = re.compile(
    r"^( *)```(\w+)\n(.*?)^\1```$((?:\n *<!-- (?:then|from Airflow)[: ][^\n]* -->$)*)", re.MULTILINE | re.DOTALL
)


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


def blocks() -> list[Block]:
    """
    Return the blocks of all pages in a language that can be run or read; plain text is none.

    The code of an example DAG is none either: the tests of the example DAGs run it.
    """
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[2], dedent(found[3]), **_comments(found[4]))
        for page in PAGES
        for text in [written_here(page.read_text("utf-8"))]
        for found in _BLOCK.finditer(text)
        if found[2] != "text"
    ]


def _comments(below: str) -> dict[str, str]:
    names = {"then": "then", "from Airflow": "since"}
    return {names[name]: value for name, value in re.findall(r"<!-- (then|from Airflow)[: ] ?(.*?) -->", below)}


def written_here(text: str) -> str:
    """Return the page *text* without the code of example DAGs; its other lines keep their numbers."""
    return CODE.sub(lambda found: "\n" * found[0].count("\n"), text)


def links() -> Iterator[tuple[Path, str]]:
    """Yield every page and what it links to in this repository, relative to the page's folder."""
    for page in PAGES:
        text = page.read_text("utf-8")
        targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)
        for target in targets:
            ours = re.match(rf"{re.escape(REPOSITORY)}/(?:blob|tree|raw)/main/", target)
            if ours:
                yield page, os.path.relpath(ROOT / target[ours.end() :], page.parent)
            elif not re.match(r"https?:", target):
                yield page, target


def named() -> set[str]:
    """Return every word that a page of docs/ shows as code, alone or within a block."""
    text = "\n".join(page.read_text("utf-8") for page in PAGES if page != README)
    shown = [found[3] for found in _BLOCK.finditer(text)]
    shown += re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text))
    words = {word for part in shown for word in re.findall(r"[A-Za-z_][\w.-]*|\d[\d,.]*", part)}
    return words | {word.rpartition(".")[2] for word in words}
