"""The command ``python -m airflow_provider_batch.mirror``: what mirrors have sent, and whether it has certain ids."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from typing import Any, TextIO
from urllib.parse import unquote

from airflow_provider_batch.exceptions import BatchError, counted
from airflow_provider_batch.mirror.folder import folder_at
from airflow_provider_batch.mirror.snapshot import is_snapshot_folder
from airflow_provider_batch.mirror.status import Generation, IdStatus, MirrorStatus, read_status
from airflow_provider_batch.tasks.storage import storage_path

#: From a snapshot_path down to the folder of an audience: that of its connection, and its own.
_DEPTH = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what is known of the mirrors at a path; the exit code is 1 if there is none, or one cannot be read."""
    given = _parser().parse_args(arguments)
    failed = False
    with _answer() as answer:
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
                lines = [*_lines(read_status(folder_at(path), given.ids, now=time.time()))]
            except (BatchError, OSError) as error:
                failed = True
                lines = [f"  cannot be read: {error}"]
            print(*lines, sep="\n", file=answer)
    sys.exit(1 if failed else 0)


@contextmanager
def _answer() -> Iterator[TextIO]:
    """Yield the standard output; what Airflow logs there goes to the standard error instead."""
    with os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding) as answer:
        os.dup2(2, 1)
        try:
            yield answer
        finally:
            os.dup2(answer.fileno(), 1)


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


def _lines(status: MirrorStatus) -> Iterator[str]:
    if status.generations:
        last = status.generations[0]
        yield f"  generation {last.number}, {_time(last)}: {counted(last.size, 'id')} ({status.audience_type})"
        if status.is_confirmed:
            yield "  confirmed: Batch has indexed it"
        else:
            yield "  not confirmed: Batch has accepted it, and nobody has seen yet that it is indexed"
    else:
        yield "  no run has ended yet"
    if status.uncertain:
        yield f"  uncertain: up to {counted(status.uncertain, 'id')}, which a run that did not end may have sent"
    if status.rejected:
        yield f"  rejected by Batch: {counted(status.rejected, 'id')}"
    if status.uncertain or status.rejected:
        yield "  the next run sends these again"
    if status.at_work:
        yield f"  at work: {status.at_work}"
    for id_, known in status.ids.items():
        yield f"  {id_}: {_sentence(status, known)}"


def _sentence(status: MirrorStatus, known: IdStatus) -> str:
    parts = [_membership(status, known)] if status.generations else []
    if known.is_rejected:
        parts.append("Batch rejected it, so it was neither added nor removed")
    if known.is_uncertain:
        parts.append("a run that did not end may have added or removed it")
    return "; ".join(parts) or "unknown, as no run has ended yet"


def _membership(status: MirrorStatus, known: IdStatus) -> str:
    last, *earlier = status.generations
    before = next((one for one in earlier if one.number in known.generations), None)
    if last.number not in known.generations:
        if before is not None:
            return f"not in the last set; removed with generation {last.number}, {_time(last)}"
        return (
            f"not in the last set, nor in any that is kept (from generation {status.generations[-1].number}): the "
            "source did not yield it, or it was skipped as invalid"
        )
    if before is not None:
        return f"in the last set, since generation {before.number}, {_time(before)}, or earlier"
    since = f"in the last set, since generation {last.number}, {_time(last)}"
    if not earlier:
        since += "" if last.number == 1 else ", or earlier"
    return since if status.is_confirmed else f"{since}; not confirmed"


def _time(generation: Generation) -> str:
    return f"{generation.written_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


if __name__ == "__main__":
    # As in Airflow's own commands: without it, Airflow 3 looks for no connection in its database.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    main()
