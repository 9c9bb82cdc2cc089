"""Measure all parts and write RESULTS.md, or measure the parts that are named and print them."""

from __future__ import annotations

import argparse
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Final

from benchmarks.report import Part, document, scaling_document

#: In the order of the report; each is a module of benchmarks.parts.
PARTS: Final = ("push", "encoding", "memory", "transfers", "rate", "waits", "parsing", "resume", "mirror")

#: Those that need a cluster, and stand in a document of their own.
CLUSTER_PARTS: Final = ("scaling", "estimate")

_SCALING: Final = Path(__file__).with_name("SCALING.md")
_RESULTS: Final = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = (*PARTS, *CLUSTER_PARTS)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"one of {', '.join(known)} (default: {PARTS[0]} …)")
    parser.add_argument("--cluster", action="store_true", help=f"all of {', '.join(CLUSTER_PARTS)}: write SCALING.md")
    options = parser.parse_args()
    names = options.parts
    if unknown := set(names) - set(known):
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
    load, started = os.getloadavg()[0], time.monotonic()
    parts = [measured(name) for name in names or (CLUSTER_PARTS if options.cluster else PARTS)]
    if not names:
        results, write = (_SCALING, scaling_document) if options.cluster else (_RESULTS, document)
        results.write_text(write(parts, time.monotonic() - started, load))
        say(f"wrote {results}")


def measured(name: str) -> Part:
    """Measure one part and print it."""
    say(f"measuring {name}")
    started = time.monotonic()
    part: Part = import_module(f"benchmarks.parts.{name}").measure()
    print(part, end="\n\n", flush=True)
    say(f"{name} took {time.monotonic() - started:.0f} s")
    return part


def say(text: str) -> None:
    """Tell what is going on."""
    print(f"==> {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
