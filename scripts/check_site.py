"""Fail if a page of a built site asks another host for a font, a script, a style or a picture: `make docs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

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


def main(folder: str) -> None:
    """Look at every page and style sheet in *folder*."""
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix in {".html", ".css"} and (found := loaded_from_elsewhere(path.read_text("utf-8"))):
            sys.exit(f"{path} loads something from elsewhere: {found}")


if __name__ == "__main__":
    main(sys.argv[1])
