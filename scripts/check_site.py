"""
Look at a built site, for `make docs`.

A page must not ask another host for a font, a script, a style or a picture, and the API reference must have all of the
hook's methods and all errors.
"""

from __future__ import annotations

import inspect
import re
import sys
import zlib
from pathlib import Path
from typing import Final

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
    """Return the names of all objects in what Sphinx writes into ``objects.inv``: four lines, then packed ones."""
    lines = zlib.decompress(inventory.split(b"\n", 4)[4]).decode().splitlines()
    return {line.split(" ", 1)[0] for line in lines}


def public() -> set[str]:
    """Return the names of what must be in the reference."""
    ours = [base for base in BatchHook.__mro__ if base.__module__.startswith("airflow_provider_batch.")]
    methods = {name for base in ours for name in vars(base) if not name.startswith("_")}
    settings = {"conn_name_attr", "default_conn_name", "conn_type", "hook_name"}  # of Airflow's, and not to be called
    errors = {f"{exceptions.__name__}.{name}" for name, _ in inspect.getmembers(exceptions, inspect.isclass)}
    return errors | {f"{BatchHook.__module__}.BatchHook.{name}" for name in methods - settings}


def main(folder: str) -> None:
    """Look at the reference, and at every page and style sheet in *folder*."""
    if missing := sorted(public() - documented(Path(folder, "objects.inv").read_bytes())):
        sys.exit(f"the API reference lacks {', '.join(missing)}")
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix in {".html", ".css"} and (found := loaded_from_elsewhere(path.read_text("utf-8"))):
            sys.exit(f"{path} loads something from elsewhere: {found}")


if __name__ == "__main__":
    main(sys.argv[1])
