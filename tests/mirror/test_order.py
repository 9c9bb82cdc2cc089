from __future__ import annotations

import random
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import InvalidMemberError, MirrorError
from airflow_provider_batch.mirror import order
from airflow_provider_batch.mirror.diff import Counts
from airflow_provider_batch.mirror.lines import Lines, id_from, line_of, lines_with_text, text_of, with_digests
from airflow_provider_batch.mirror.order import _LineNumbers, _Prefix, _Sample, ascending, in_order
from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.rows import in_blocks

from .test_lines import ANNOTATED, IDS, told

#: What readers of CSV, and sorting by a language's rules, are known to stumble over.
NASTY = [
    *(
        '"',
        '""',
        '"a,b"',
        "'",
        "''",
        ",",
        ";",
        "|",
        "#c",
        "\\",
        "\\N",
        "\\n",
        "NULL",
        "null",
        "-",
        "--",
        " a",
        "a ",
        "  ",
    ),
    *("\ufeff", "\ufeffa", "\u2028x", "\x85", "é", "e\u0301", "ß", "SS", "😀", "\uffff", "\U0010ffff", "\x7f", "\x1a"),
    *(chr(code) + "x" for code in range(32)),
    *("x" + chr(code) for code in range(32)),
    *("A", "a", "B", "b", "_", "1", "10", "2", "1.0", "1e5", "true", "2026-01-01", "x" * 5_000, "é" * 100_000),
]


def parted(lines: list[str], size: int) -> Iterator[Lines]:
    return map(lines_with_text, in_blocks(lines, size))


def ids(blocks: Iterable[Lines]) -> list[str]:
    blocks = list(blocks)
    assert all(block == lines_with_text(block.lines) for block in blocks)
    return [id_from(line) for block in blocks for line in block.lines]


@given(st.sets(IDS), st.integers(1, 5))
def test_a_sorted_source_is_passed_on(given_ids: set[str], size: int) -> None:
    counts = Counts()
    lines = sorted(map(line_of, given_ids))
    assert [line for one in ascending(parted(lines, size), counts, "vip") for line in one.lines] == lines
    assert (counts.given, counts.duplicates) == (len(lines), 0)


@given(st.lists(ANNOTATED, max_size=8), st.integers(1, 5))
def test_of_the_same_id_the_first_stays(annotated: list[AnnotatedId], size: int) -> None:
    annotated.sort()
    first: dict[str, str] = {}
    for id_ in annotated:
        first.setdefault(str(id_), line_of(id_))
    counts = Counts()
    found = list(ascending(parted(list(map(line_of, annotated)), size), counts, "vip"))
    assert [line for one in found for line in one.lines] == list(first.values())
    stored = "".join(line + "\n" for line in with_digests(list(first.values())))
    assert b"".join(one.text for one in found) == stored.encode()
    assert (counts.given, counts.duplicates) == (len(first), len(annotated) - len(first))


def test_lines_are_compared_from_block_to_block_and_told_with_their_digests() -> None:
    counts = Counts(given=1, duplicates=1)
    given_lines = [["a", "b"], ["b"], ["b", "b", "c"], ['d\x01"tags":["x"]', 'd\x01"tags":["y"]', "d", "e"], ["f"]]
    found = list(ascending(map(lines_with_text, given_lines), counts, "vip"))
    (digest,) = with_digests(['d\x01"tags":["x"]'])
    assert found == [
        (["a", "b"], b"a\nb\n"),
        (["c"], b"c\n"),
        (['d\x01"tags":["x"]', "e"], f"{digest}\ne\n".encode()),
        (["f"], b"f\n"),
    ]
    assert counts == Counts(given=1 + 6, duplicates=1 + 5)


def test_an_id_that_is_out_of_order_is_told_by_its_number_among_all() -> None:
    blocks = map(lines_with_text, [["a", "b", "b"], ["c"], ["d", "secret", "d"]])
    with pytest.raises(InvalidMemberError) as caught:
        list(ascending(blocks, Counts(), "vip"))
    assert str(caught.value) == (
        "vip: ids[6]: it sorts before the previous id by code points, which is_sorted=True rules out. Sort the source "
        'by code points (ORDER BY … COLLATE "C" in PostgreSQL, a binary collation elsewhere), or omit is_sorted=True.'
    )


@given(st.lists(IDS, min_size=1), st.integers(1, 5))
def test_a_smaller_neighbour_is_named_by_its_position(given_ids: list[str], size: int) -> None:
    wrong = next((at for at in range(1, len(given_ids)) if given_ids[at] < given_ids[at - 1]), None)
    blocks = parted(list(map(line_of, given_ids)), size)
    if wrong is None:
        assert list(ascending(blocks, Counts(), "vip"))
        return
    with pytest.raises(InvalidMemberError, match="is_sorted=True") as caught:
        list(ascending(blocks, Counts(), "vip"))
    assert caught.value.position == wrong
    assert 'COLLATE "C"' in str(caught.value)


def test_the_position_is_that_in_the_source() -> None:
    blocks = [Block(["c", "d"], "rows", [0, 4]), Block(["e", "secret", "b"], "rows", [5, 7, 9])]
    with pytest.raises(InvalidMemberError, match=r"^vip: rows\[9\]: it sorts before") as caught:
        list(ascending(map(lines_with_text, blocks), Counts(), "vip"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("held", [0, 10, 1_000_000])
def test_nasty_ids_are_sorted_exactly(held: int, tmp_path: Path) -> None:
    shuffled = random.Random(5).sample(NASTY, len(NASTY))
    assert ids(in_order(parted(list(map(line_of, shuffled)), 7), tmp_path, in_memory=held)) == sorted(NASTY)
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


@pytest.mark.parametrize("held", [0, 1_000_000])
def test_what_is_given_of_one_id_stays_in_its_order(held: int, tmp_path: Path) -> None:
    given_ids = [
        *("a", AnnotatedId("a", '"tags":["z"]'), "b\n", AnnotatedId("b", '"tags":["y"]')),
        *(AnnotatedId("b", '"tags":["x"]'), "b", AnnotatedId("a", '"tags":["a"]'), "a\n"),
        *(AnnotatedId("a\n", '"attributes":{"x":"\\"\\n,"}'), "a", AnnotatedId('"', '"attributes":{"x":"é"}')),
    ]
    found = ids(in_order(parted(list(map(line_of, given_ids)), 3), tmp_path, in_memory=held))
    assert list(map(told, found)) == list(map(told, sorted(given_ids)))


@settings(max_examples=25, deadline=None)
@given(given_ids=st.lists(st.one_of(IDS, ANNOTATED), max_size=30), size=st.integers(1, 9))
def test_duckdb_sorts_as_python_does(tmp_path_factory: pytest.TempPathFactory, given_ids: list[str], size: int) -> None:
    lines = list(map(line_of, given_ids))
    held = ids(in_order(parted(lines, size), tmp_path_factory.mktemp("held")))
    spilled = ids(in_order(parted(lines, size), tmp_path_factory.mktemp("it's spilled"), in_memory=0))
    assert list(map(told, spilled)) == list(map(told, held)) == list(map(told, sorted(given_ids)))


@settings(max_examples=25, deadline=None)
@given(
    prefix=st.sampled_from(["", "user-", "it's \"e\u0301😀", "a\x02*"]),
    rests=st.lists(st.tuples(st.sampled_from(["", "ab", "ac", "b"]), IDS), min_size=1, max_size=30),
    size=st.integers(1, 9),
)
def test_what_all_lines_begin_with_is_kept(
    tmp_path_factory: pytest.TempPathFactory, prefix: str, rests: list[tuple[str, str]], size: int
) -> None:
    lines = [prefix, *(prefix + start + line_of(rest) for start, rest in rests)][not prefix :]
    spilled = in_order(parted(lines, size), tmp_path_factory.mktemp("spilled"), in_memory=0)
    assert [line for block in spilled for line in block.lines] == sorted(lines)


def test_nothing_is_sorted_to_nothing(tmp_path: Path) -> None:
    assert list(in_order([], tmp_path)) == []
    assert list(in_order([], tmp_path, in_memory=-1)) == []


def test_as_many_lines_as_are_allowed_are_sorted_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    lines = [f"{number * 7_919 % 10_000:04d}" for number in range(10_000)]
    found = list(in_order(parted(lines, 3), tmp_path, in_memory=10_000))
    assert [len(block.lines) for block in found] == [8_192, 1_808]
    assert ids(found) == sorted(lines)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MirrorError, match="need DuckDB"):
        list(in_order(parted(lines, 3), tmp_path, in_memory=9_999))


def test_duckdb_has_its_limits_and_the_folder_that_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, configs = duckdb.connect, []

    def connected(database: str, config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
        configs.append(config)
        return connect(database, config=config)

    monkeypatch.setattr(duckdb, "connect", connected)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    folder = tmp_path / "it's here"
    folder.mkdir()
    for limit in ({}, {"memory_limit": "200MB"}):
        assert ids(in_order(parted(["c", "a", "b"], 2), folder, in_memory=0, **limit)) == ["a", "b", "c"]
    settings = {"temp_directory": str(folder), "preserve_insertion_order": False, "threads": 3}
    assert configs == [{"memory_limit": limit, **settings} for limit in ("384MB", "200MB") for _ in range(3)]


def test_what_sorts_when_the_reader_stops_is_interrupted_and_no_more_is_sorted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, connected, interrupted = duckdb.connect, [], threading.Event()

    class Endless:
        def __enter__(self) -> Endless:
            return self

        def __exit__(self, *_: object) -> None: ...

        def execute(self, *_: object) -> None:
            at_work.set()
            ends.append((threading.current_thread().name, interrupted.wait(10)))
            raise duckdb.InterruptException("INTERRUPT")

        def interrupt(self) -> None:
            interrupted.set()

    def connect_endlessly(*arguments: Any, **named: Any) -> Any:
        connected.append(1)
        return connect(*arguments, **named) if len(connected) == 1 else Endless()

    at_work, ends = threading.Event(), list[tuple[str, bool]]()
    monkeypatch.setattr(duckdb, "connect", connect_endlessly)
    blocks = in_order(parted(["a", "b", "c"], 1), tmp_path, in_memory=0)
    assert next(blocks).lines == ["a"]
    assert at_work.wait(10)
    blocks.close()
    assert ends == [("batch-mirror_0", True)]
    assert len(connected) == 2


@pytest.mark.parametrize(
    ("given_lines", "prefix"),
    [
        ([["user-1", "user-22"], ["user-2"]], "user-"),
        ([["user-1", "user-2"], ["us", "user-1"]], "us"),
        ([["user-1"], ["user-1"]], "user-1"),
        ([["user-1", "x"], ["user-1"]], ""),
        ([["user-1"], ["other", "user-2"]], ""),
        ([["user-1"], ["auser-1"]], ""),
        ([["", "a"]], ""),
    ],
)
def test_what_all_lines_begin_with(given_lines: list[list[str]], prefix: str) -> None:
    found = _Prefix()
    for lines in given_lines:
        found.narrow(text_of(lines).encode(), len(lines))
    assert found.text == prefix
    for lines in given_lines:
        rests = text_of([line[len(prefix) :] for line in lines]).encode()
        assert found.restore(rests) == text_of(lines).encode()


def test_lines_are_numbered_from_the_first_block_with_attributes_on() -> None:
    numbers = _LineNumbers()
    plain, annotated = ["b", "a"], ["b", 'a\x01"tags":["x\x01"]']
    assert numbers.insert(lines_with_text(plain)) == b"b\na\n"
    assert numbers.remove(b"a\nb\n") == lines_with_text(["a", "b"])
    for first in (0, 2, 4):
        text = f'b\x01{first:012x}\na\x01{first + 1:012x}\x01"tags":["x\x01"]\n'.encode()
        assert numbers.insert(lines_with_text(annotated)) == text
        assert numbers.remove(text) == lines_with_text(annotated)


def test_the_bounds_divide_what_was_seen() -> None:
    sample = _Sample()
    assert sample.bounds() == [""]
    for number in (4, 1, 7, 3, 8, 0, 6, 2, 5):
        sample.look_at([f"{number}\x01digest", "zz"])
    assert sample.bounds() == ["", "3", "6"]


def test_a_reader_that_stops_leaves_no_sorting_behind(tmp_path: Path) -> None:
    blocks = in_order(parted([f"{number:05d}" for number in range(20_000)], 1_000), tmp_path, in_memory=0)
    assert isinstance(blocks, Generator)
    assert next(blocks).lines[0] == "00000"
    blocks.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch-mirror")]


@pytest.mark.parametrize("held", [0, 19_999])
def test_parts_of_about_the_same_size_are_sorted_one_by_one(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "BLOCK_SIZE", 500)
    lines = [f"{number * 7_919 % 20_000:05d}" for number in range(20_000)]
    blocks = in_order(parted(lines, 500), tmp_path, in_memory=held)
    sizes: dict[str, int] = {}
    for _ in blocks:
        sizes |= {path.name: path.stat().st_size for path in tmp_path.glob("sorted-*.txt")}
    whole = 6 * len(lines)
    assert sum(sizes.values()) == whole
    assert len(sizes) == 3
    assert all(whole / 6 < size < whole / 2 for size in sizes.values())


def test_more_than_memory_holds_is_spilled(tmp_path: Path) -> None:
    numbers = range(250_000)
    lines = (f"{number * 7919 % 250_000:0600d}" for number in numbers)
    found = in_order(map(lines_with_text, in_blocks(lines, 10_000)), tmp_path, memory_limit="128MB", in_memory=1_000)
    assert ids(found) == [f"{number:0600d}" for number in numbers]


@pytest.mark.parametrize("error", [duckdb.OutOfMemoryException, duckdb.InternalException])
@pytest.mark.parametrize(("cores", "threads"), [(2, 2), (8, 4), (None, 1)])
def test_what_several_threads_cannot_sort_one_does(
    cores: int | None, threads: int, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, asked = duckdb.connect, []

    def connect_or_fail(database: str, config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
        assert database == ":memory:"
        asked.append(config["threads"])
        if len(asked) == 1:
            raise error("failed to pin a block")
        return connect(database, config=config)

    monkeypatch.setattr(duckdb, "connect", connect_or_fail)
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert ids(in_order(parted(["c", "a", "b"], 2), tmp_path, in_memory=1)) == ["a", "b", "c"]
    assert asked == [threads, 1, threads, threads]  # the first of three parts twice


def test_without_duckdb_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MirrorError) as caught:
        list(in_order(parted(["b", "a"], 2), tmp_path, in_memory=1))
    assert str(caught.value) == (
        "more than 1,000,000 unsorted ids need DuckDB. Run pip install 'airflow-provider-batch[mirror]', or sort the "
        "source and pass is_sorted=True."
    )


def test_an_error_of_duckdb_quotes_no_line(tmp_path: Path) -> None:
    reason = (
        r"^DuckDB could not sort the ids \(\w+Exception\) with memory_limit='much'\. Free memory or disk space for "
        r"temporary files, or sort the source and pass is_sorted=True\.$"
    )
    with pytest.raises(MirrorError, match=reason) as caught:
        list(in_order(parted(["secret", "a"], 2), tmp_path, in_memory=1, memory_limit="much"))
    assert "secret" not in repr(caught.value)
    assert caught.value.__cause__ is None
