"""The command ``python -m airflow_provider_batch.mirror``: what mirrors have sent, and whether it has certain ids."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.mirror.answer import lines_of, open_answer
from airflow_provider_batch.mirror.folder import folder_at
from airflow_provider_batch.mirror.snapshot import is_snapshot_folder
from airflow_provider_batch.mirror.status import read_status
from airflow_provider_batch.tasks.storage import storage_path

#: From a snapshot_path down to the folder of an audience: that of its connection, and its own.
_DEPTH = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what is known of the mirrors at a path; the exit code is 1 if there is none, or one cannot be read."""
    given = _parser().parse_args(arguments)
    failed = False
    with open_answer() as answer:
        try:
            found = [path for path in _audience_paths(storage_path(given.path)) if given.audience in (None, path.name)]
        except (BatchError, OSError) as error:
            sys.exit(f"{given.path}: {error}")
        if not found:
            what = f"no mirror of {given.audience}" if given.audience else "no mirror"
            sys.exit(f"{given.path}: {what} is there. Pass the snapshot_path of the task, as the worker reads it.")
        for path in found:
            print(f"{unquote(path.parent.name)}, {path.name}", file=answer)
            try:
                lines = [*lines_of(read_status(folder_at(path), given.ids, now=time.time()))]
            except (BatchError, OSError) as error:
                failed = True
                lines = [f"  cannot be read: {error}"]
            print(*lines, sep="\n", file=answer)
    sys.exit(1 if failed else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_batch.mirror",
        description="Show what mirrors have sent to Batch: when, how many ids, and whether certain ids are among them.",
        epilog="It prints no id that is not passed, sends nothing, and changes nothing.",
    )
    parser.add_argument("path", metavar="PATH", help="the snapshot_path of the tasks, such as s3://my_conn@bucket/path")
    parser.add_argument("--audience", metavar="NAME", help="only this audience (default: all)")
    parser.add_argument("--id", dest="ids", action="append", default=[], metavar="ID", help="repeatable; show this id")
    return parser


def _audience_paths(path: Any, depth: int = _DEPTH) -> Iterator[Any]:
    if is_snapshot_folder(folder_at(path)):
        yield path
    elif depth and path.is_dir():
        for child in sorted(path.iterdir(), key=str):
            if child.is_dir():
                yield from _audience_paths(child, depth - 1)


if __name__ == "__main__":
    # As in Airflow's own commands: without it, Airflow 3 looks for no connection in its database.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    main()
