"""Records that are written, settled and read again: each key once, its last record."""

from __future__ import annotations

import json
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batch.push import spool as module
from airflow_provider_batch.push.spool import Spool


def filled(*records: tuple[str, int], block: int = 2) -> Spool:
    spool = Spool(lambda line: json.loads(line)[0])
    for start in range(0, len(records), block):
        part = records[start : start + block]
        spool.write([key for key, _ in part], "".join(f"{json.dumps(record)}\n" for record in part).encode())
    spool.settle()
    return spool


def content(spool: Spool, size: int = 2) -> list[tuple[int, str, int]]:
    """Number, key and value of each record."""
    return [
        (number, *json.loads(line))
        for numbers, lines in spool.blocks(size)
        for number, line in zip(numbers, lines, strict=True)
    ]


def test_records_come_back_in_their_order_and_in_blocks() -> None:
    with filled(("a", 1), ("b", 2), ("c", 3)) as spool:
        assert content(spool) == [(0, "a", 1), (1, "b", 2), (2, "c", 3)]
        assert [len(lines) for _, lines in spool.blocks(2)] == [2, 1]
        assert content(spool) == content(spool)
        assert (len(spool), spool.written, spool.duplicates) == (3, 3, 0)


def test_an_empty_spool_has_no_blocks() -> None:
    with filled() as spool:
        assert (content(spool), len(spool)) == ([], 0)


def test_of_several_records_of_one_key_the_last_stays() -> None:
    with filled(("a", 1), ("b", 2), ("a", 3), ("c", 4), ("a", 5)) as spool:
        assert content(spool) == [(1, "b", 2), (3, "c", 4), (4, "a", 5)]
        assert [len(lines) for _, lines in spool.blocks(2)] == [2, 1]
        assert (len(spool), spool.written, spool.duplicates) == (3, 5, 2)


def test_two_keys_of_one_hash_both_stay() -> None:
    with patch.object(module, "hash", lambda key: 7, create=True), filled(("a", 1), ("b", 2), ("a", 3)) as spool:
        assert content(spool) == [(1, "b", 2), (2, "a", 3)]


def test_more_records_than_memory_may_hold_wait_in_a_file() -> None:
    with patch.object(module, "_IN_MEMORY", 10), filled(*((f"key-{number}", number) for number in range(50))) as spool:
        assert spool._file.name is not None
        assert content(spool, 7) == [(number, f"key-{number}", number) for number in range(50)]


def test_few_records_wait_in_memory() -> None:
    with filled(("a", 1)) as spool:
        assert spool._file.name is None


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers())), st.integers(1, 5), st.integers(1, 5))
def test_whatever_is_written_each_key_is_there_once_with_its_last_value(
    records: list[tuple[str, int]], block: int, size: int
) -> None:
    with patch.object(module, "_PART", 3), filled(*records, block=block) as spool:
        found = content(spool, size)
        assert {key: value for _, key, value in found} == dict(records)
        assert len(found) == len(dict(records)) == len(spool)
        assert [number for number, *_ in found] == sorted(number for number, *_ in found)
        assert spool.duplicates == len(records) - len(spool)


def test_the_number_of_a_record_is_found_by_its_key_and_of_several_it_is_the_last() -> None:
    with filled(("b", 1), ("a", 2), ("b", 3)) as spool:
        assert [spool.number_of(key) for key in "abc"] == [1, 2, None]
    with patch.object(module, "hash", lambda key: 7, create=True), filled(("a", 1), ("b", 2), ("a", 3)) as spool:
        assert spool.number_of("a") in {1, 2}  # two keys of one hash: the place may be that of another record


def test_a_sorted_source_is_not_looked_through() -> None:
    with patch.object(module, "_repeated", side_effect=AssertionError), filled(("A", 1), ("B", 2), ("C", 3)) as spool:
        assert len(spool) == 3
    with filled(("a", 1), ("b", 2), ("b", 3)) as spool:
        assert content(spool) == [(0, "a", 1), (2, "b", 3)]
