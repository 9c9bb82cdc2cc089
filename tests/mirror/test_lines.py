from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batch.mirror.lines import (
    SEPARATOR,
    id_from,
    id_part,
    ids_from,
    line_of,
    lines_in,
    sort,
    text_of,
    with_digests,
    with_texts,
)
from airflow_provider_batch.protocol.audiences.attributes import extras
from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.audiences.intake import MemberIntake
from airflow_provider_batch.protocol.dialect import MEP_1_1
from airflow_provider_batch.protocol.ids import AnnotatedId

#: Text that can be sent, with many of the characters that matter.
IDS = st.text(
    st.one_of(st.sampled_from("\x00\x01\x02\x03\n\r\t\x0d\x0e ab\x7f\x85\u2028\uffff😀"), st.characters(codec="utf-8")),
    min_size=1,
)
ANNOTATED = st.builds(lambda id_, plan: AnnotatedId(id_, extras({"plan": plan}, None, MEP_1_1.members)), IDS, IDS)


def told(id_: str) -> tuple[str, str | None]:
    """The id, and what it has beside itself: an annotated id is equal to its id alone."""
    return str(id_), id_.extras if isinstance(id_, AnnotatedId) else None


def mark_of(line: str) -> str:
    (mark,) = with_digests([line])
    return mark


@given(IDS, IDS)
def test_lines_sort_as_their_ids_do(one: str, other: str) -> None:
    assert (line_of(one) < line_of(other)) == (one < other)


@given(ANNOTATED, IDS)
def test_what_an_id_has_beside_itself_does_not_change_its_place(id_: AnnotatedId, other: str) -> None:
    if id_ != other:
        assert (line_of(id_) < line_of(other)) == (str(id_) < other)
        assert (mark_of(line_of(id_)) < line_of(other)) == (str(id_) < other)


@given(IDS)
def test_an_id_comes_back_from_its_line(id_: str) -> None:
    assert told(id_from(line_of(id_))) == (id_, None)


@given(IDS | ANNOTATED)
def test_a_line_has_no_control_character_that_a_reader_may_stop_at(id_: str) -> None:
    line = line_of(id_).replace(SEPARATOR, "", int(isinstance(id_, AnnotatedId)))
    assert not set(line) & set("\x00\x01\x03\x04\x05\n\r\t\x0b\x0c")


@given(ANNOTATED)
def test_what_an_id_has_beside_itself_comes_back_from_its_line(id_: AnnotatedId) -> None:
    assert told(id_from(line_of(id_))) == told(id_)


@given(ANNOTATED)
def test_a_snapshot_holds_a_mark_and_nothing_of_the_attributes(id_: AnnotatedId) -> None:
    line = mark_of(line_of(id_))
    assert id_part(line) == line_of(str(id_))
    mark = line.partition(SEPARATOR)[2]
    assert len(mark) == 16
    assert set(mark) <= set("0123456789abcdef")


@given(IDS)
def test_an_id_alone_has_no_mark(id_: str) -> None:
    assert mark_of(line_of(id_)) == line_of(id_)


def test_a_mark_depends_on_the_values() -> None:
    one = mark_of(line_of(AnnotatedId("a", '"attributes":{"x":1}')))
    assert mark_of(line_of(AnnotatedId("a", '"attributes":{"x":1}'))) == one
    assert mark_of(line_of(AnnotatedId("a", '"attributes":{"x":2}'))) != one
    assert mark_of(line_of(AnnotatedId("a", '"attributes":{"x":1},"tags":["y"]'))) != one


def test_a_block_of_plain_ids_is_passed_on_as_it_is() -> None:
    block = Block(["a", "é", "\u2028"], "ids", [3, 4, 5])
    ((lines, _),) = with_texts([block])
    assert lines is block


def test_where_an_id_stands_is_kept() -> None:
    block = Block(["a", "b\n", AnnotatedId("c\n", '"tags":["x"]')], "ids", [3, 7, 9], "row {}".format)
    ((lines, _),) = with_texts([block])
    assert isinstance(lines, Block)
    assert (lines.argument, lines.positions, lines.place) == ("ids", [3, 7, 9], block.place)
    assert lines == ["a", "b\x02*", 'c\x02*\x01"tags":["x"]']


def test_lines_of_one_id_are_sorted_to_each_other_as_they_came() -> None:
    lines = ["b", "a\x01z", "a!", "a\x01y", "a"]
    sort(lines)
    assert lines == ["a\x01z", "a\x01y", "a", "a!", "b"]


def test_plain_lines_are_their_ids() -> None:
    lines = ["a", "b"]
    assert ids_from(lines, "a\nb\n") is lines
    assert list(ids_from(["a\x02*"], "a\x02*\n")) == ["a\n"]


@pytest.mark.parametrize("lines", [[], [""], ["a"], ["a", "", "\u2028"]])
def test_a_text_of_lines_is_taken_apart_again(lines: list[str]) -> None:
    text = text_of(lines)
    assert text == "".join(line + "\n" for line in lines)
    assert lines_in(text.encode()) == lines


def test_ids_of_a_plain_list_may_have_attributes() -> None:
    lines = ["a", 'b\x01"tags":["x"]']
    assert list(with_texts([["a", AnnotatedId("b", '"tags":["x"]')]])) == [(lines, b'a\nb\x01"tags":["x"]\n')]


def test_an_empty_block_is_left_out() -> None:
    assert list(with_texts([[], ["a"], Block([], "ids", []), ["b\n"]])) == [(["a"], b"a\n"), (["b\x02*"], b"b\x02*\n")]


@given(st.lists(IDS | st.sampled_from(["a-1", "b 2", "é"]), min_size=1))
def test_a_checked_block_has_the_same_lines_as_a_list_of_its_ids(values: list[str]) -> None:
    intake = MemberIntake(values, "ids", name="vip", rules=MEP_1_1.members, block_size=2, on_invalid_id="skip")
    blocks = list(intake.blocks())
    found = list(with_texts(blocks))
    assert found == list(with_texts(map(list, blocks)))
    assert all(one.text.count(b"\n") == len(block) for one, block in zip(found, blocks, strict=True))
