from __future__ import annotations

import gc
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batch.protocol.audiences.block import Block, gathered
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.rows import Rejection


def known(ids: list[str]) -> list[tuple[str, str | None]]:
    return [(str(id_), getattr(id_, "extras", None)) for id_ in ids]


def test_what_is_left_of_a_block_keeps_its_places() -> None:
    block = Block(["a", "b", "c"], "remove_ids", [3, 5, 9], "line {}".format, plain=True)
    left = block.only(lambda id_: id_ != "b")
    assert (list(left), list(left.positions), left.removes, left.plain) == (["a", "c"], [3, 9], True, True)
    assert left.rejection(1, "no") == Rejection("remove_ids", 9, "no", "line 9")


@pytest.mark.parametrize(("ids", "asked"), [(8, []), (9, [3])])
def test_what_is_left_of_a_block_asks_for_its_places_at_once_only_if_it_is_less_than_an_eighth(
    ids: int, asked: list[int]
) -> None:
    seen: list[int] = []

    def place(position: int) -> str:
        seen.append(position)
        return f"line {position}"

    left = Block(map(str, range(ids)), "ids", range(ids), place).only("3".__eq__)
    assert seen == asked
    assert left.rejection(0, "no").place == "line 3"


def test_a_plain_list_has_no_places() -> None:
    block = Block(["a", "b"], "add_ids", range(2))
    assert (block.removes, block.rejection(1, "no")) == (False, Rejection("add_ids", 1, "no"))


@pytest.mark.parametrize(
    "block",
    [
        Block(["a", AnnotatedId("b", "B"), AnnotatedId("c", "C")], "add_ids", range(3), annotated=True),
        Block(["a", "b", "c"], "add_ids", range(3), annotations=["", "B", "C"]),
    ],
    ids=["with them", "apart"],
)
def test_annotated_ids_come_out_as_they_went_in_however_they_are_read(block: Block) -> None:
    assert block.annotated
    assert known(list(block)) == known([*block]) == known(block[:]) == [("a", None), ("b", "B"), ("c", "C")]
    assert known([block[0], block[-1]]) == [("a", None), ("c", "C")]
    assert known(block[1:2]) == known(list(block.part(1, 2))) == [("b", "B")]
    assert known(list(block.only("bc".__contains__))) == [("b", "B"), ("c", "C")]
    assert [type(id_) for id_ in block.texts()] == [str] * 3
    assert (block == ["a", "b", "c"], "b" in block, block.index("c")) == (True, True, 2)


def test_a_part_knows_whether_its_own_ids_are_annotated() -> None:
    block = Block(["a", "b"], "add_ids", [4, 7], "line {}".format, annotations=["", "B"])
    first, second = block.part(0, 1), block.part(1, 2)
    assert second.rejection(0, "no") == Rejection("add_ids", 7, "no", "line 7")
    assert (first.annotated, second.annotated, list(second.positions)) == (False, True, [7])


def test_the_garbage_collector_has_nothing_to_do_with_the_members_of_a_block() -> None:
    block = Block((str(number) for number in range(1_000)), "add_ids", range(1_000), annotations=["x"] * 1_000)
    gc.collect()
    assert not any(isinstance(referred, AnnotatedId) for referred in gc.get_referents(block, block.annotations))


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", AnnotatedId("c", '"tags":["x"]')]), max_size=7)), st.integers(7, 20)
)
def test_blocks_are_gathered_with_all_that_they_know(given_ids: list[list[str]], size: int) -> None:
    blocks, start = [], 0
    for number, ids in enumerate(given_ids):
        positions = range(start, start + len(ids)) if number % 2 else list(range(start, start + 2 * len(ids), 2))
        place = None if number % 3 == 2 else f"block {number}, {{}}".format
        blocks.append(Block(ids, "ids", positions, place, annotated=True, plain=number % 5 > 0))
        start += 2 * len(ids)

    def told(blocks: list[Block]) -> list[tuple[object, ...]]:
        return [
            (str(id_), getattr(id_, "extras", None), block.positions[index], block.rejection(index, "").place)
            for block in blocks
            for index, id_ in enumerate(block)
        ]

    found = list(gathered(blocks, size))
    assert told(found) == told(blocks)
    assert all(len(block) <= size for block in found)
    assert all(len(one) + len(next_one) > size - 7 for one, next_one in pairwise(found))


def test_blocks_are_gathered_up_to_the_size_and_never_cut() -> None:
    blocks = [Block("x" * size, "add_ids", range(size)) for size in (3, 3, 1, 4, 2)]
    found = list(gathered(blocks, 4))
    assert [(len(block), block.argument) for block in found] == [(size, "add_ids") for size in (3, 4, 4, 2)]


def test_a_full_block_is_passed_on_at_once() -> None:
    def blocks() -> Iterator[Block]:
        yield Block(["a", "b"], "ids", range(2), plain=True)
        raise AssertionError("not asked for")

    assert next(gathered(blocks(), 2)).plain


@pytest.mark.parametrize(
    ("ids", "repeats"), [("abc", False), ("acb", False), ("abb", True), ("aba", True), ("cba", False), ("", False)]
)
def test_a_block_knows_whether_it_repeats_an_id(ids: str, repeats: bool) -> None:
    assert Block(ids, "ids", range(len(ids))).repeats is repeats
    assert (
        Block([AnnotatedId(id_, f"{place}") for place, id_ in enumerate(ids)], "ids", [], annotated=True).repeats
        is repeats
    )
