"""Today's audience compared with yesterday's: by the provider's mirror, sorted or not, or by two Python sets."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from airflow_provider_batch.mirror.plan import Mirror
from airflow_provider_batch.mirror.snapshot import Target
from airflow_provider_batch.protocol.audiences.block import Block
from benchmarks.ids import CALL, in_calls, made
from benchmarks.measure import Meter, forget_peak, job, memory, report

#: One id in so many is gone, and one in so many is new.
_EVERY: Final = 100


def write_ids(todo: dict[str, object]) -> None:
    """Write both sets, one id per line: yesterday's sorted, and today's sorted and shuffled."""
    count, home = int(str(todo["ids"])), Path(str(todo["folder"]))
    write(home / "old.txt", made(str(todo["kind"]), count))
    write(home / "sorted.txt", today(str(todo["kind"]), count))
    blocks = list(in_calls(today(str(todo["kind"]), count)))
    for block in blocks:
        random.Random(len(block)).shuffle(block)
    # Takes lines from many shuffled blocks in turn: far from sorted, and still done in seconds.
    width = 100
    with (home / "shuffled.txt").open("w") as file:
        for start in range(0, len(blocks), width):
            for row in zip(*blocks[start : start + width], strict=False):
                file.write("\n".join(row) + "\n")
            shortest = min(map(len, blocks[start : start + width]))
            for block in blocks[start : start + width]:
                file.writelines(id_ + "\n" for id_ in block[shortest:])


def today(kind: str, count: int) -> Iterator[str]:
    """Yield the remaining ids of yesterday with the new ids between them, sorted."""
    for number, id_ in enumerate(made(kind, count)):
        if number % _EVERY != 7:
            yield id_
        if number % _EVERY == 50:
            yield id_ + "x"


def write(path: Path, ids: Iterator[str]) -> None:
    """Write one id per line."""
    with path.open("w") as file:
        for block in in_calls(ids):
            file.write("\n".join(block) + "\n")


def read(path: Path) -> Iterator[Block]:
    """Read the ids in blocks of about the size of one call, as the intake of a push yields them."""
    position = 0
    with path.open() as file:
        while text := file.read(CALL * 16):
            ids = (text + file.readline()).split("\n")[:-1]
            yield Block(ids, "ids", range(position, position + len(ids)))
            position += len(ids)


def mirrored(home: Path, name: str, *, is_sorted: bool) -> tuple[int, int]:
    """Plan a run, and return the numbers of ids to add and to remove."""
    mirror = Mirror(home / "snapshots", Target("vip", "custom_ids", ""))
    with mirror.plan(read(home / name), is_sorted=is_sorted) as plan:
        if plan.before is None:
            with plan.begin("benchmark") as transaction:
                transaction.commit([])
        return len(plan.adds), len(plan.removes)


def two_sets(home: Path) -> tuple[int, int]:
    """Compare both sets in memory, and return the numbers of ids to add and to remove."""
    old = {id_ for block in read(home / "old.txt") for id_ in block}
    new = {id_ for block in read(home / "shuffled.txt") for id_ in block}
    return len(new - old), len(old - new)


def main() -> None:
    """Prepare the files, or measure one way to compare, as the job says."""
    todo = job()
    home = Path(todo["folder"])
    forget_peak()
    before = memory()
    with Meter() as meter:
        match todo["way"]:
            case "prepare":
                write_ids(todo)
                found = mirrored(home, "old.txt", is_sorted=True)
            case "sorted":
                found = mirrored(home, "sorted.txt", is_sorted=True)
            case "DuckDB":
                found = mirrored(home, "shuffled.txt", is_sorted=False)
            case _:
                found = two_sets(home)
    report(meter, before=before, adds=found[0], removes=found[1])


if __name__ == "__main__":
    main()
