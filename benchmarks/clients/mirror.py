"""Today's audience compared with yesterday's: by the provider's mirror, sorted or not, or by two Python sets."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import Final

from airflow_provider_batch.mirror.folder import folder_at
from airflow_provider_batch.mirror.lines import with_texts
from airflow_provider_batch.mirror.order import in_order
from airflow_provider_batch.mirror.plan import FolderMirror
from airflow_provider_batch.mirror.snapshot import read_snapshot, read_state
from airflow_provider_batch.mirror.spool import CompressedFile
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.protocol.audiences.block import Block
from benchmarks.ids import CALL, in_calls, made
from benchmarks.measure import Meter, forget_peak, job, memory, report

#: One id in so many is gone, and one in so many is new.
_EVERY: Final = 100


def write_ids(todo: dict[str, object]) -> None:
    """Write both sets, one id per line: yesterday's sorted, and today's sorted and shuffled."""
    kind, count, home = str(todo["kind"]), int(str(todo["ids"])), Path(str(todo["folder"]))
    old = list(random_uuids(count) if kind == "random UUID" else made(kind, count))
    write(home / "old.txt", iter(old))
    blocks = list(in_calls(today(old)))
    del old
    write(home / "sorted.txt", (id_ for block in blocks for id_ in block))
    for block in blocks:
        random.Random(len(block)).shuffle(block)
    random.Random(1).shuffle(blocks)
    # An id of each shuffled block in turn: far from sorted, and still done in seconds.
    with (home / "shuffled.txt").open("w") as file:
        for row in zip_longest(*blocks):
            file.write("\n".join(filter(None, row)) + "\n")


def random_uuids(count: int) -> Iterator[str]:
    """Yield *count* UUIDs of version 4 in ascending order."""
    for start in range(0, count, CALL):
        digits = random.Random(start).randbytes(11 * CALL).hex()
        for number in range(start, min(count, start + CALL)):
            at = (number - start) * 22
            one = digits[at : at + 22]
            yield f"{number * (1 << 32) // count:08x}-{one[:4]}-4{one[4:7]}-a{one[7:10]}-{one[10:]}"


def today(ids: list[str]) -> Iterator[str]:
    """Yield the remaining ids of yesterday with the new ids between them, sorted."""
    for number, id_ in enumerate(ids):
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
            yield Block(ids, "ids", range(position, position + len(ids)), plain=True)
            position += len(ids)


def mirrored(home: Path, name: str, *, is_sorted: bool) -> tuple[int, int]:
    """Plan a run, and return the numbers of ids to add and to remove."""
    mirror = FolderMirror(home / "snapshots", Target("vip", "custom_ids", ""))
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


def copied(home: Path, spare: Path) -> tuple[int, int]:
    """Read and check the snapshot and write the next one, as a run does; compare nothing."""
    folder = folder_at(home / "snapshots")
    state = read_state(folder, None)
    assert state.head is not None
    with closing(CompressedFile(spare / "copy.gz")) as copy:
        for text in read_snapshot(folder, state.head):
            copy.write(text, text.count(b"\n"))
    return copy.count, 0


def sorted_only(home: Path, spare: Path) -> tuple[int, int]:
    """Read the unsorted source and sort it with DuckDB, as a run does; compare nothing."""
    return sum(len(block.lines) for block in in_order(with_texts(read(home / "shuffled.txt")), spare)), 0


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
            case "copy":
                found = copied(home, Path(todo["home"]))
            case "sort":
                found = sorted_only(home, Path(todo["home"]))
            case "read":
                found = sum(map(len, read(home / "shuffled.txt"))), 0
            case _:
                found = two_sets(home)
    report(meter, before=before, adds=found[0], removes=found[1])


if __name__ == "__main__":
    main()
