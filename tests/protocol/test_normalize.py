from __future__ import annotations

from collections import namedtuple
from decimal import Decimal
from enum import IntEnum, StrEnum
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batch.protocol.dialect import MEP_1_0, MemberRules
from airflow_provider_batch.protocol.normalize import are_ids, normalize

steady = settings(max_examples=150, deadline=None, derandomize=True)

SECRET = "SECRET-ID"


class Level(IntEnum):
    GOLD = 3


class Name(StrEnum):
    ZOE = "zoe"


class Opaque:
    def __repr__(self) -> str:
        return SECRET


Row = namedtuple("Row", ["id"])
Pair = namedtuple("Pair", ["id", "age"])


def read(value: object) -> str:
    return normalize(value, MEP_1_0.members)


def refusal(value: object) -> ValueError:
    with pytest.raises(ValueError, match=r".") as caught:
        read(value)
    return caught.value


@pytest.mark.parametrize(
    "text", ["a", " a ", "A b", "Zoé", "ゾエ", "😀", 'a"\\b', "a\n", "\u200b", "x" * 128, "😀" * 128]
)
def test_text_is_kept_as_it_is(text: str) -> None:
    assert read(text) == text


@pytest.mark.parametrize(
    ("value", "id_"),
    [
        (42, "42"),
        (0, "0"),
        (-7, "-7"),
        (Level.GOLD, "3"),
        (10**127, "1" + "0" * 127),
        (("a",), "a"),
        (["a"], "a"),
        ((42,), "42"),
        (Row("a"), "a"),
        (Name.ZOE, "zoe"),
    ],
)
def test_whole_numbers_and_rows_of_one_column_become_text(value: object, id_: str) -> None:
    assert read(value) == id_


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "None is no id; drop rows without one"),
        (True, "a bool is no id; pass the id itself"),
        (False, "a bool is no id; pass the id itself"),
        (1.0, "a float is no id"),
        (float("nan"), "a float is no id"),
        (b"a", "bytes are no id; decode them"),
        ({"name": "a"}, "a dict without the field id is no member"),
        ("", "empty or blank text is no id; drop such rows"),
        (" \t\n\u00a0\u2003", "empty or blank text is no id; drop such rows"),
        ("x" * 129, "129 characters are more than the 128 that Batch allows; shorten or hash"),
        ("é" * 129, "129 characters are more than the 128"),
        (10**128, "129 characters are more than the 128"),
        (-(10**127), "129 characters are more than the 128"),
        ((), "a row of 0 columns is no id; select the id column alone"),
        (("a", "b"), "a row of 2 columns is no id; select the id column alone"),
        (["a", "b", "c"], "a row of 3 columns is no id"),
        (Pair("a", 1), "a row of 2 columns is no id"),
        ((None,), "None is no id"),
        ((True,), "a bool is no id"),
        ((("a",),), "a value of type tuple is no id"),
        ("a\ud800", "a lone surrogate cannot be sent as UTF-8; decode the source"),
        ("\udc00", "a lone surrogate cannot be sent as UTF-8; decode the source"),
        (
            Decimal(1),
            "a Decimal is no id (7 and 7.00 are not the same text); cast it to an integer or text in the query",
        ),
        (UUID(int=1), "a value of type UUID is no id; convert it to str first"),
        ({"a"}, "a value of type set is no id"),
        (Opaque(), "a value of type Opaque is no id"),
    ],
)
def test_anything_else_is_refused_with_a_reason_and_a_remedy(value: object, reason: str) -> None:
    assert reason in str(refusal(value))


def test_a_number_that_python_does_not_print_is_too_long() -> None:
    assert str(refusal(10**100_000)) == "an integer of more than 128 digits is no id; hash it"


@pytest.mark.parametrize(
    "value",
    [
        SECRET * 20,
        SECRET + "\ud800",
        SECRET.encode(),
        {"id": SECRET, "name": "Zoe"},
        (SECRET, SECRET),
        ((SECRET,),),
        {SECRET},
        Opaque(),
    ],
)
def test_a_refusal_does_not_show_the_value(value: object) -> None:
    error = refusal(value)
    shown = [str(error), repr(error), error.args, vars(error), error.__cause__, error.__context__, error.__dict__]
    assert SECRET not in repr(shown)


anything = st.one_of(
    st.text(max_size=3),
    st.text(alphabet=" \t\u3000a", max_size=3),
    st.text(alphabet="a\ud800", max_size=3),
    st.text(alphabet="ab", min_size=7, max_size=9),
    st.integers(-5, 5),
    st.none(),
    st.booleans(),
    st.binary(max_size=2),
    st.tuples(st.text(max_size=2)),
)


def is_an_id_already(value: object) -> bool:
    try:
        return normalize(value, MemberRules("1.0", 8)) is value
    except ValueError:
        return False


@steady
@given(st.lists(anything, max_size=6))
def test_the_quick_look_at_a_block_agrees_with_the_look_at_each_value(values: list[object]) -> None:
    assert are_ids(values, 8) == all(map(is_an_id_already, values))


@steady
@given(st.lists(st.text(alphabet="ab \u00a0", max_size=9), max_size=6))
def test_the_quick_look_agrees_on_blanks_and_lengths(values: list[object]) -> None:
    assert are_ids(values, 8) == all(map(is_an_id_already, values))
