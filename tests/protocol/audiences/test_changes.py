from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import InvalidMemberError
from airflow_provider_batch.protocol.arguments import OnInvalidId
from airflow_provider_batch.protocol.audiences.changes import read_changes
from airflow_provider_batch.protocol.audiences.chunk import Chunks
from airflow_provider_batch.protocol.audiences.intake import MemberIntake
from airflow_provider_batch.protocol.audiences.members import Change, Member
from airflow_provider_batch.protocol.dialect import cep
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.rows import BadRow, Rejection, Rows

steady = settings(max_examples=150, deadline=None, derandomize=True)

SECRET = "SECRET-ID"
V2 = cep().dialects[0].members


def read(
    changes: Iterable[object], size: int = 3, on_invalid_id: OnInvalidId = "fail", **more: Any
) -> tuple[MemberIntake, MemberIntake]:
    how = {"name": "vip", "rules": V2, "block_size": size, "on_invalid_id": on_invalid_id, **more}
    return read_changes(changes, partial(MemberIntake, **how))


def test_changes_that_may_be_mistakes_are_reported() -> None:
    doubts: list[str] = []
    read(
        [Change("add", "a"), Change("remove", "nan"), Change("add", "b "), Change("add", "NaN")], on_doubt=doubts.append
    )
    assert [doubt.rpartition(": ")[2] for doubt in doubts] == [
        "2, the first at changes[1]",
        "1, the first at changes[2]",
    ]


def ids(intake: MemberIntake) -> list[str]:
    return [id_ for block in intake.blocks() for id_ in block]


def told(intake: MemberIntake) -> dict[str, str]:
    return {str(id_): id_.extras if isinstance(id_, AnnotatedId) else "" for id_ in ids(intake)}


def add(value: object) -> Change:
    return Change("add", value)


def remove(value: object) -> Change:
    return Change("remove", value)


def test_of_several_changes_of_one_id_the_last_one_counts() -> None:
    adds, removes = read([add("a"), remove("b"), remove("a"), add("b"), add("c"), add("c")])
    assert (ids(adds), ids(removes)) == (["b", "c"], ["a"])
    assert (adds.duplicates, removes.duplicates) == (3, 0)


def test_what_is_known_of_a_member_is_what_its_last_change_says() -> None:
    adds, _ = read([add(Member("a", {"n": 1})), add(Member("a", {"n": 2})), add(Member("b", {"n": 1})), add("b")])
    assert told(adds) == {"a": '"attributes":{"n":2}', "b": ""}


def test_a_member_that_is_removed_last_is_removed_by_its_id_alone() -> None:
    adds, removes = read([add(Member("a", {"n": 1})), remove("a")])
    assert (told(adds), told(removes)) == ({}, {"a": ""})


def test_attributes_of_a_removal_are_refused() -> None:
    with pytest.raises(InvalidMemberError, match=r"changes\[1\]: an id to remove cannot have attributes or tags"):
        read([add("b"), remove(Member("a", {"n": 1}))])


@pytest.mark.parametrize("value", [SECRET, 7, Member(SECRET), {"id": SECRET, "attributes": {"n": 1}}])
def test_a_value_without_an_action_is_refused(value: object) -> None:
    with pytest.raises(InvalidMemberError, match="the value has no action") as caught:
        read([add("a"), value])
    assert SECRET not in str(caught.value)
    assert (caught.value.position, caught.value.reason) == (
        1,
        "the value has no action. Pass a Change, or name the action_column.",
    )


@pytest.mark.parametrize("action", ["delete", "Remove", "", None])
def test_an_action_that_is_none_is_refused_and_not_taken_for_an_add(action: Any) -> None:
    with pytest.raises(
        InvalidMemberError, match=r"^vip: changes\[1\]: the action is neither 'add' nor 'remove'\."
    ) as caught:
        read([add("a"), Change(action, SECRET)])
    assert SECRET not in str(caught.value)


def test_a_row_that_could_not_be_read_says_why() -> None:
    with pytest.raises(InvalidMemberError, match=r"changes\[0\]: line 7 has two columns"):
        read([BadRow("line 7 has two columns")])


def test_skipped_changes_are_counted_and_named_by_their_place() -> None:
    seen: list[tuple[Rejection, object]] = []
    changes = [add("a"), add(None), remove(""), "b", add("a")]
    adds, removes = read(changes, on_invalid_id="skip", on_rejection=lambda *told: seen.append(told))
    assert (ids(adds), ids(removes), adds.duplicates, adds.rejected) == (["a"], [], 1, 3)
    assert [rejection.where for rejection in adds.rejections] == ["changes[1]", "changes[2]", "changes[3]"]
    assert [(rejection.position, value) for rejection, value in seen] == [(1, changes[1]), (2, changes[2]), (3, "b")]


def test_a_change_that_is_skipped_has_the_place_that_its_source_names() -> None:
    class Source:
        """Seven rows, one after the other; what it names is counted from 1."""

        def __iter__(self) -> Iterator[object]:
            raise AssertionError("its blocks are read")

        def _line(self, first: int, index: int) -> str:
            return f"line {first + index}"

        def blocks(self, size: int) -> Iterator[Rows]:
            for number in range(7):
                yield Rows([None if number in (0, 6) else add("a")], partial(self._line, number + 1))

    adds, _ = read(Source(), on_invalid_id="skip")
    assert [(rejection.position, rejection.where) for rejection in adds.rejections] == [
        (0, "changes[0] (line 1)"),
        (6, "changes[6] (line 7)"),
    ]


def test_a_change_that_may_be_a_mistake_has_the_place_that_its_source_names() -> None:
    class Source(list[object]):
        def blocks(self, size: int) -> Iterator[Rows]:
            yield Rows([add("a"), add("nan")], "line {}".format)

    doubts: list[str] = []
    read(Source(), on_doubt=doubts.append)
    assert [doubt.rpartition(": ")[2] for doubt in doubts] == ["1, the first at changes[1] (line 1)"]


def test_the_first_change_that_is_none_fails_unless_it_is_to_be_skipped() -> None:
    with pytest.raises(InvalidMemberError, match=r"^vip: changes\[0\]: the id is missing \(None\)"):
        read([add(None)])


def test_blocks_say_whether_more_than_ids_is_in_them() -> None:
    adds, removes = read([add("a"), add(Member("b", {"n": 1})), remove("c")])
    assert [block.annotated for block in adds.blocks()] == [True]
    assert [block.annotated for block in removes.blocks()] == [False]
    plain, _ = read([add("a"), add(Member("b"))])
    assert [block.annotated for block in plain.blocks()] == [False]


def test_positions_are_those_of_the_last_changes() -> None:
    adds, removes = read([add("a"), add("b"), remove("c"), add("a")])
    assert [list(block.positions) for block in adds.blocks()] == [[3, 1]]
    assert [list(block.positions) for block in removes.blocks()] == [[2]]


def test_no_changes_are_nothing_to_send() -> None:
    adds, removes = read([])
    assert (ids(adds), ids(removes), adds.total, removes.total) == ([], [], 0, 0)
    assert (adds.argument, removes.argument) == ("changes", "remove_ids")


changes = st.lists(
    st.builds(
        lambda removes, id_, number: remove(id_) if removes else add(Member(id_, {"n": number})),
        st.booleans(),
        st.sampled_from("abcdef"),
        st.integers(0, 9),
    ),
    max_size=20,
)


@steady
@given(changes, st.integers(1, 4), st.sets(st.sampled_from("abcdef")))
def test_the_audience_is_what_it_would_be_change_by_change(
    given_changes: list[Change], size: int, before: set[str]
) -> None:
    audience = dict.fromkeys(before, 0)
    for change in given_changes:
        if isinstance(change.value, Member):
            assert change.value.attributes
            audience[str(change.value.id)] = int(str(change.value.attributes["n"]))
        else:
            audience.pop(str(change.value), None)

    adds, removes = read(iter(given_changes), size)
    assert not set(ids(adds)) & set(ids(removes))
    assert len(ids(adds)) + len(ids(removes)) + adds.duplicates == len(given_changes)
    sent = dict.fromkeys(before, 0)
    # In any order of the calls: the sides have no id in common.
    for chunk in reversed(list(Chunks(adds, removes, size=size, disjoint=True))):
        assert len(chunk) <= size
        for id_ in chunk.add_ids:
            assert isinstance(id_, AnnotatedId)
            sent[str(id_)] = json.loads(f"{{{id_.extras}}}")["attributes"]["n"]
        for id_ in chunk.remove_ids:
            sent.pop(id_, None)
    assert sent == audience
