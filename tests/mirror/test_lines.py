from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.mirror.lines import (
    SEPARATOR,
    as_lines,
    id_part,
    line_of,
    marked,
    member_from,
    members_from,
)
from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.audiences.members import Member

#: Text that can be sent, with many of the characters that matter.
IDS = st.text(
    st.one_of(st.sampled_from("\x00\x01\x02\x03\n\r\t\x0d\x0e ab\x7f\x85\u2028\uffff😀"), st.characters(codec="utf-8")),
    min_size=1,
)
VALUES = st.one_of(
    st.text(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.dates(),
    st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=2))])),
    st.decimals(allow_nan=False),
)
ATTRIBUTES = st.dictionaries(st.one_of(st.text(), st.just("date")), st.one_of(VALUES, st.lists(VALUES)))
MEMBERS = st.builds(Member, IDS, st.none() | ATTRIBUTES, st.none() | st.lists(st.text()))


@given(IDS, IDS)
def test_lines_sort_as_their_ids_do(one: str, other: str) -> None:
    assert (line_of(one) < line_of(other)) == (one < other)


@given(MEMBERS, IDS)
def test_what_a_member_has_beside_its_id_does_not_change_its_place(member: Member, other: str) -> None:
    if member.id != other:
        assert (line_of(member) < line_of(other)) == (str(member.id) < other)
        assert (marked(line_of(member)) < line_of(other)) == (str(member.id) < other)


@given(IDS)
def test_an_id_comes_back_from_its_line(id_: str) -> None:
    assert member_from(line_of(id_)) == id_


@given(IDS)
def test_a_line_has_no_control_character_that_a_reader_may_stop_at(id_: str) -> None:
    assert not set(line_of(id_)) & set("\x00\x01\x03\x04\x05\n\r\t\x0b\x0c")


@given(MEMBERS)
def test_a_member_comes_back_from_its_line(member: Member) -> None:
    expected = member.id if member.attributes is None and member.tags is None else member
    assert member_from(line_of(member)) == expected


@given(MEMBERS)
def test_a_snapshot_holds_a_mark_and_nothing_of_the_attributes(member: Member) -> None:
    line = marked(line_of(member))
    assert id_part(line) == line_of(str(member.id))
    if member.attributes is not None or member.tags is not None:
        mark = line.partition(SEPARATOR)[2]
        assert len(mark) == 16
        assert set(mark) <= set("0123456789abcdef")
    else:
        assert line == line_of(str(member.id))


def test_a_mark_depends_on_the_values_and_not_on_their_order() -> None:
    one = marked(line_of(Member("a", {"x": 1, "y": 2})))
    assert marked(line_of(Member("a", {"y": 2, "x": 1}))) == one
    assert marked(line_of(Member("a", {"y": 2, "x": 2}))) != one
    assert marked(line_of(Member("a", {"x": 1, "y": 2}, []))) != one


def test_a_decimal_and_a_date_come_back_as_what_they_were() -> None:
    member = Member("a", {"d": date(2026, 1, 2), "t": datetime(2026, 1, 2, tzinfo=UTC), "n": [Decimal("1.50")]})
    again = member_from(line_of(member))
    assert isinstance(again, Member)
    assert again.attributes is not None
    assert list(map(type, again.attributes.values())) == [date, list, datetime]
    assert again == member


@pytest.mark.parametrize("value", [{"a": 1}, object(), {1, 2}, b"x"])
def test_a_value_that_is_none_is_refused_without_being_named(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match="attributes") as caught:
        line_of(Member("secret", {"x": value}))
    assert "secret" not in str(caught.value)


def test_a_block_of_plain_ids_is_passed_on_as_it_is() -> None:
    block = Block(["a", "é", "\u2028"], "ids", [3, 4, 5])
    (lines,) = as_lines([block])
    assert lines is block


def test_where_an_id_stands_is_kept() -> None:
    block: list[Any] = Block(["a", "b\n"], "ids", [3, 7])
    (lines,) = as_lines([block])
    assert isinstance(lines, Block)
    assert (lines.argument, lines.positions, list(lines)) == ("ids", [3, 7], ["a", "b\x02*"])


class Tagged(str):
    """An id that carries something."""

    tags: list[str]


def test_an_item_that_is_more_than_text_is_asked_for() -> None:
    tagged = Tagged("b")
    tagged.tags = ["x"]

    def member_of(item: str) -> Member | None:
        return Member(str(item), None, item.tags) if isinstance(item, Tagged) else None

    (lines,) = as_lines([["a", tagged]], member_of)
    assert list(map(member_from, lines)) == ["a", Member("b", None, ["x"])]
    (lines,) = as_lines([["a", Member("b", None, ["x"]), Member("c")]])
    assert list(map(member_from, lines)) == ["a", Member("b", None, ["x"]), "c"]


def test_plain_lines_are_their_ids() -> None:
    lines = ["a", "b"]
    assert members_from(lines, "a\nb\n") is lines
    assert members_from(["a\x02*"], "a\x02*\n") == ["a\n"]
