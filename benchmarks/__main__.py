"""Measure all parts and write them to RESULTS.md, or measure the named parts and print them."""

from __future__ import annotations

import argparse
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Final

from benchmarks.report import Part, cluster_document, document, halves

#: In the order of the report; each is a module of benchmarks.parts.
PARTS: Final = (
    "push",
    "encoding",
    "members",
    "profiles",
    "profiles_changed",
    "memory",
    "transfers",
    "rate",
    "waits",
    "parsing",
    "resume",
    "mirror",
    "warehouse",
)

#: The parts that need a cluster; they are the second half of the report.
CLUSTER_PARTS: Final = ("scaling", "estimate")

_RESULTS: Final = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    """Run the parts that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = (*PARTS, *CLUSTER_PARTS)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"one of {', '.join(known)} (default: {PARTS[0]} …)")
    parser.add_argument("--cluster", action="store_true", help=f"all of {', '.join(CLUSTER_PARTS)}")
    options = parser.parse_args()
    names = options.parts
    if unknown := set(names) - set(known):
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
    load, started = os.getloadavg()[0], time.monotonic()
    parts = [measured(name) for name in names or (CLUSTER_PARTS if options.cluster else PARTS)]
    if not names:
        took = time.monotonic() - started
        alone, cluster = halves(_RESULTS.read_text() if _RESULTS.exists() else "")
        if options.cluster:
            cluster = cluster_document(parts, took, load)
        else:
            alone = document(parts, took, load)
        _RESULTS.write_text("\n\n".join(filter(None, (alone, cluster))) + "\n")
        say(f"wrote {_RESULTS}")


def measured(name: str) -> Part:
    """Measure one part and print it."""
    say(f"measuring {name}")
    started = time.monotonic()
    part: Part = import_module(f"benchmarks.parts.{name}").measure()
    print(part, end="\n\n", flush=True)
    say(f"{name} took {time.monotonic() - started:.0f} s")
    return part


def say(text: str) -> None:
    """Print a line about the progress."""
    print(f"==> {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
