from __future__ import annotations

import os
import resource
import stat
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.audiences.intake import MemberIntake
from airflow_provider_batch.protocol.dialect import cep
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.rows import NumberedPlaces, with_more
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.files import FileSource
from airflow_provider_batch.sources.id_file import IdFile, id_files

SECRET = "secret-id"

ids = st.builds(
    lambda id_, extras: AnnotatedId(id_, extras) if extras else id_,
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1),
    st.sampled_from(["", '"tags":["a\\u0001"]', '"attributes":{"city":"Paris"}']),
)


def block(values: list[str]) -> Block:
    numbers = array("Q", range(2, 2 + 3 * len(values), 3))
    positions = range(5, 5 + len(values))
    place = partial(_moved, NumberedPlaces("ids.csv, line ", numbers), 5)
    annotated = any(isinstance(id_, AnnotatedId) for id_ in values)
    return Block(values, "remove_ids", positions, place, annotated=annotated, plain=len(values) == 3)


def _moved(place: NumberedPlaces, start: int, position: int) -> str:
    return place(position - start)


def seen(blocks: Any) -> list[Any]:
    return [
        (
            [(id_, getattr(id_, "extras", None)) for id_ in one],
            one.argument,
            list(one.positions),
            [one.place(position) for position in one.positions],
            one.annotated,
            one.plain,
        )
        for one in blocks
    ]


@given(st.lists(st.lists(ids, min_size=1)), st.sampled_from([1, 100, 1 << 20]))
def test_blocks_come_back_as_they_were_each_time(values: list[list[str]], in_memory: int) -> None:
    blocks = list(map(block, values))
    file = IdFile(in_memory)
    for one in blocks:
        file.write(one)
    first, second = iter(file), iter(file)
    assert seen(zip_of(first, second)) == seen(one for one in blocks for _ in range(2))
    assert seen(file) == seen(blocks)
    file.close()


def zip_of(*several: Iterator[Block]) -> Iterator[Block]:
    for blocks in zip(*several, strict=True):
        yield from blocks


def test_a_block_without_ids_is_left_out() -> None:
    file = IdFile()
    for values in (["a"], [], ["b"]):
        file.write(block(values))
    assert list(file) == [["a"], ["b"]]
    file.close()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def deleted_files(folder: Path) -> list[os.stat_result]:
    found = [Path(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    return [path.stat() for path in found if path.exists() and os.readlink(path).startswith(str(folder))]


def test_the_file_is_the_owners_and_has_no_name(disk: Path) -> None:
    with id_files() as put_aside:
        kept = put_aside(iter([block(["a"] * 600_000)]))
        (opened,) = deleted_files(disk)
        assert stat.S_IMODE(opened.st_mode) == 0o600
        assert opened.st_nlink == 0
        assert list(disk.iterdir()) == []
        assert [len(one) for one in kept] == [600_000]
    assert deleted_files(disk) == []


def test_few_ids_need_no_disk(disk: Path) -> None:
    disk.rmdir()
    with id_files() as put_aside:
        assert list(put_aside(iter([block(["a"])]))) == [["a"]]
        assert deleted_files(disk) == []


def test_the_file_is_closed_when_checking_fails(disk: Path) -> None:
    def blocks() -> Iterator[Block]:
        yield block(["a"] * 600_000)
        assert len(deleted_files(disk)) == 1
        raise ValueError("an invalid row")

    with pytest.raises(ValueError, match="an invalid row"), id_files() as put_aside:
        put_aside(blocks())
    assert deleted_files(disk) == []


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_does_not_fit_on_the_disk_is_an_error_with_a_remedy(disk: Path) -> None:
    with pytest.raises(SourceError) as caught, id_files() as put_aside, no_file_above(3 << 20):
        put_aside(block([SECRET] * 10_000) for _ in range(100))
    assert str(caught.value) == (
        f"{disk}: the ids, which are checked before the first call, cannot be put aside there: File too large. Free "
        "space on that disk, or set TMPDIR to a folder on a larger one."
    )
    assert SECRET not in repr((caught.value, caught.value.__cause__))
    assert deleted_files(disk) == []


def test_a_missing_disk_is_an_error_with_a_remedy(disk: Path) -> None:
    disk.rmdir()
    with pytest.raises(SourceError, match="cannot be put aside there: No such file or directory"), id_files() as aside:
        aside(iter([block([SECRET] * 600_000)]))


def test_places_are_kept_as_a_range_as_long_as_they_have_no_gap() -> None:
    numbers = with_more(with_more((), range(2, 4)), range(4, 6))
    assert numbers == range(2, 6)
    assert list(with_more(numbers, range(7, 9))) == [2, 3, 4, 5, 7, 8]
    assert list(with_more(with_more(numbers, [9]), [12])) == [2, 3, 4, 5, 9, 12]


def test_the_memory_does_not_grow_with_the_ids(disk: Path) -> None:
    task = psutil.Process()
    with id_files() as put_aside:
        kept = put_aside(block([f"{number:036}" for number in range(10_000)]) for _ in range(20))
        before = task.memory_info().rss
        for one in kept:
            assert len(one) == 10_000
        kept = put_aside(block([f"{number:036}" for number in range(10_000)]) for _ in range(200))
        assert sum(map(len, kept)) == 2_000_000
        assert task.memory_info().rss - before < 16 << 20


def test_members_of_a_file_keep_their_attributes_and_places(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("id,city\n" + "".join(f"id-{n},Paris\n\n" for n in range(1_000)))
    rules = cep().dialects[0].members
    with id_files() as put_aside:
        members = FileSource(tmp_path / "ids.csv", Columns("id", None, ["city"]))
        made = MemberIntake(members, "ids", name="vip", rules=rules, block_size=700, put_aside=put_aside)
        made.check()
        blocks = list(made.blocks())
    assert [len(one) for one in blocks] == [600, 400]
    assert [each for one in blocks for each in placed_ids(one)] == [
        (f"id-{n}", '"attributes":{"city":"Paris"}', f"ids.csv, line {2 + 2 * n:,}") for n in range(1_000)
    ]


def placed_ids(one: Block) -> Iterator[tuple[str, str, str]]:
    assert one.place is not None
    return zip(one.texts(), one.annotations or (), map(one.place, one.positions), strict=True)
