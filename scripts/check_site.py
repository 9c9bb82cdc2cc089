"""
Check a built site, for `make docs`.

No page may load a font, a script, a style sheet or a picture from another host, and no link may lead nowhere. The API
reference must contain all methods of the hook and all errors, and llms.txt the text of every page.
"""

from __future__ import annotations

import inspect
import re
import sys
import zlib
from html import unescape
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from airflow_provider_batch import exceptions
from airflow_provider_batch.hooks.batch import BatchHook

_ELSEWHERE: Final = r"""["']?(?:https?:)?//"""
_LOADED: Final = re.compile(
    rf"<(?:script|img|iframe|source)\b[^>]*\bsrc={_ELSEWHERE}"
    rf"|<link\b(?![^>]*\brel=[\"']?canonical)[^>]*\bhref={_ELSEWHERE}"
    rf"|@import\b[^;]*//|url\(\s*{_ELSEWHERE}"
)


def loaded_from_elsewhere(text: str) -> str | None:
    """Return the first place in a page or style sheet that loads something from another host."""
    found = _LOADED.search(text)
    return found[0] if found else None


def documented(inventory: bytes) -> set[str]:
    """Return the names of all objects in Sphinx's ``objects.inv``: four lines of text, then compressed lines."""
    lines = zlib.decompress(inventory.split(b"\n", 4)[4]).decode().splitlines()
    return {line.split(" ", 1)[0] for line in lines}


def public() -> set[str]:
    """Return the names that the reference must contain."""
    ours = [base for base in BatchHook.__mro__ if base.__module__.startswith("airflow_provider_batch.")]
    methods = {name for base in ours for name in vars(base) if not name.startswith("_")}
    settings = {"conn_name_attr", "default_conn_name", "conn_type", "hook_name"}  # attributes that Airflow reads
    errors = {f"{exceptions.__name__}.{name}" for name, _ in inspect.getmembers(exceptions, inspect.isclass)}
    return errors | {f"{BatchHook.__module__}.BatchHook.{name}" for name in methods - settings}


def dead_links(folder: Path) -> list[str]:
    """Return the links from pages in *folder* to a page, or a place on it, that does not exist."""
    pages = {path: path.read_text("utf-8") for path in sorted(folder.rglob("*.html"))}
    places = {path: set(re.findall(r"""\b(?:id|name)=["']?([^"'\s>]+)""", text)) for path, text in pages.items()}
    dead = []
    for path, text in pages.items():
        for target in sorted(set(re.findall(r"""\bhref="((?!\w+:|//)[^"]*)\"""", text))):
            file, _, place = unquote(unescape(target)).partition("#")
            there = (path.parent / file.partition("?")[0]).resolve() if file else path
            if not there.exists() or (place and there in places and place not in places[there]):
                dead.append(f"{path.relative_to(folder)}: {target}")
    return dead


def titles(pages: Path) -> list[str]:
    """Return the first line of every page in the folder *pages*."""
    return [path.read_text("utf-8").partition("\n")[0] for path in sorted(pages.glob("*.md"))]


def main(folder: str) -> None:
    """Check the reference, llms.txt, and every page and style sheet in *folder*."""
    text = Path(folder, "llms.txt").read_text("utf-8").splitlines()
    if absent := [title for title in titles(Path(__file__).parent.parent / "docs") if title not in text]:
        sys.exit(f"llms.txt lacks these pages: {', '.join(absent)}")
    if missing := sorted(public() - documented(Path(folder, "objects.inv").read_bytes())):
        sys.exit(f"these names are missing in the API reference: {', '.join(missing)}")
    if dead := dead_links(Path(folder).resolve()):
        sys.exit(f"these links lead nowhere: {', '.join(dead)}")
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix in {".html", ".css"} and (found := loaded_from_elsewhere(path.read_text("utf-8"))):
            sys.exit(f"{path} loads something from another host: {found}")


if __name__ == "__main__":
    main(sys.argv[1])
