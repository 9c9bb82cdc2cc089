from __future__ import annotations

import re
import unicodedata
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
from numbers import Integral
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batch.protocol.audiences.members import Change, Member, annotated, normalize
from airflow_provider_batch.protocol.dialect import MEP_1_0, MEP_1_1, MemberRules, cep
from airflow_provider_batch.protocol.ids import AnnotatedId, doubt, joined_ids

steady = settings(max_examples=150, deadline=None, derandomize=True)

SECRET = "SECRET-ID"
CEP = cep().dialects[0]


class Level(IntEnum):
    GOLD = 3


class Name(StrEnum):
    ZOE = "zoe"


class DriverRow:
    """A row that is no sequence, as some database drivers have."""

    def __getitem__(self, index: int) -> str:
        return SECRET


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
    "text", ["a", " a ", "A b", "Zoé", "ゾエ", "😀", 'a"\\b', "a\u00a0b", "\u200b", "x" * 128, "😀" * 128]
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
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_whole_numbers_and_rows_of_one_column_become_text(value: object, id_: str) -> None:
    assert read(value) == id_


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "the id is missing (None). Drop the row."),
        (True, "a bool is not a valid id. Pass the id itself"),
        (False, "a bool is not a valid id. Pass the id itself"),
        (1.0, "a float is not a valid id"),
        (1e22, "convert the rest to int (pandas: s.dropna().astype('int64'))."),
        (Fraction(1, 2), "a float is not a valid id"),
        (b"a", "bytes are not a valid id. Decode them"),
        ({"name": "a"}, "the dict has no field id"),
        ("", "the id is empty. Drop the row."),
        (" \t\n\u00a0\u2003", "the id is blank. Drop the row."),
        ("x" * 129, "the id has 129 characters, more than the 128 that Batch accepts. Shorten or hash"),
        ("é" * 129, "the id has 129 characters, more than the 128"),
        (10**128, "the id has 129 characters, more than the 128"),
        (-(10**127), "the id has 129 characters, more than the 128"),
        ((), "a row of 0 columns is not a valid id. Select the id column alone"),
        (("a", "b"), "a row of 2 columns is not a valid id. Select the id column alone"),
        (["a", "b", "c"], "a list of 3 values is not a valid id. If it is a row, select the id column alone."),
        (["a", "b"], "If it is a list of ids, join the lists, in a template with | sum(start=[]), or push each"),
        (Pair("a", 1), "a row of 2 columns is not a valid id"),
        ((None,), "the id is missing (None). Drop the row."),
        ((True,), "a bool is not a valid id"),
        ((("a",),), "a value of type tuple is not a valid id"),
        ("a\ud800", "the id has a lone surrogate, which UTF-8 cannot encode. Read the source"),
        ("\udc00", "the id has a lone surrogate, which UTF-8 cannot encode. Read the source"),
        (Decimal(1), "a Decimal is not a valid id, as 7 and 7.00 are different texts. Convert it to int."),
        ({"a"}, "a value of type set is not a valid id"),
        (Opaque(), "a value of type Opaque is not a valid id. Convert it to str."),
        (DriverRow(), "a value of type DriverRow is not a valid id. Pass the id in it, such as row[0]."),
    ],
)
def test_anything_else_is_refused_with_a_reason_and_a_remedy(value: object, reason: str) -> None:
    assert reason in str(refusal(value))


def test_a_number_that_python_does_not_print_is_too_long() -> None:
    assert str(refusal(10**100_000)) == "an integer of more than 128 digits is not a valid id. Hash it."


def test_where_ids_may_be_of_any_length_numbers_have_an_end() -> None:
    assert normalize(2**4000 - 1, CEP.members) == str(2**4000 - 1)
    with pytest.raises(ValueError, match=r"^an integer of more than 1000 digits is not a valid id. Hash it.$"):
        normalize(2**4000, CEP.members)


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
    st.text(alphabet="a\0\x0e\x1b\x7f\x85\xad\u2028\ufeff", max_size=3),
    st.sampled_from(["nan", "None", "1.5E+7", "nano", "#REF!", "\\N"]),
    st.text(alphabet="ab", min_size=7, max_size=9),
    st.integers(-5, 5),
    st.none(),
    st.booleans(),
    st.binary(max_size=2),
    st.tuples(st.text(max_size=2)),
)


def is_an_id_already(value: object) -> bool:
    try:
        id_ = normalize(value, MemberRules("1.0", 8))
    except ValueError:
        return False
    return id_ is value and doubt(id_) is None


@steady
@given(st.lists(anything, max_size=6))
def test_the_quick_look_at_a_block_agrees_with_the_look_at_each_value(values: list[object]) -> None:
    assert (joined_ids(values, 8) is not None) == all(map(is_an_id_already, values))


@steady
@given(st.lists(st.text(alphabet="ab \u00a0", max_size=9), max_size=6))
def test_the_quick_look_agrees_on_blanks_and_lengths(values: list[object]) -> None:
    assert (joined_ids(values, 8) is not None) == all(map(is_an_id_already, values))


@pytest.mark.parametrize(
    "values",
    [["a", "b"], ["x" * 128], ["jane+e1@example.com"], ["a+b"], ["1e5", "2"]],
    ids=lambda values: values[0][:9],
)
def test_the_quick_look_returns_all_ids_as_one_text(values: list[object]) -> None:
    assert joined_ids(values, 128) == "".join(map(str, values))


def test_the_quick_look_finds_the_longest_word_for_a_missing_value() -> None:
    assert joined_ids(["undefined"], 128) is None


# What is never part of an id.


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("c\0-\x001\0", "the id contains NUL. Read the source with the right encoding, or remove the character."),
        ("c-1\0\0", "the id contains NUL."),
        ("c-1\x1a", "the id contains ^Z."),
        ("\ac-1", "the id contains BEL."),
        ("c-1\n", "the id begins or ends with a line break. Strip it, or pass trim_ids=True."),
        ("c-1\r\n", "the id begins or ends with a carriage return. Strip it"),
        ("\tc-1", "the id begins or ends with a tab. Strip it"),
        ("c\t1", "the id contains a tab. Read the source"),
        ("\ufeffc-1", "the id contains U+FEFF (a byte order mark). Read the source"),
        ("c-1\u2028", "the id begins or ends with U+2028 (a line separator). Strip it"),
        ("c\u20291", "the id contains U+2029 (a paragraph separator)."),
        ("c\x851", "the id contains U+0085 (a control character)."),
        ("c-1\x7f", "the id contains U+007F (a control character)."),
    ],
)
@pytest.mark.parametrize("wrap", [str, Member, lambda text: [text], lambda text: {"id": text}])
def test_a_character_that_is_never_part_of_an_id_is_named(text: str, reason: str, wrap: Callable[..., object]) -> None:
    assert reason in str(refusal(wrap(text)))
    assert joined_ids(["a", text], 128) is None


def test_half_a_character_is_named_for_what_it_is() -> None:
    for half in ("\ud800", "\udfff"):
        assert str(refusal(f"c-{half}1")) == (
            "the id has a lone surrogate, which UTF-8 cannot encode. Read the source with the right encoding."
        )


def test_every_control_character_is_rejected_and_no_other_character_is() -> None:
    """Unicode's category Cc, the separators of lines, the byte order mark and the surrogates, of all there are."""
    rejected = [char for char in map(chr, range(0x110000)) if joined_ids([f"a{char}a"], 8) is None]
    categories = {"Cc", "Zl", "Zp", "Cs"}
    assert rejected == [c for c in map(chr, range(0x110000)) if unicodedata.category(c) in categories or c == "\ufeff"]


# What is missing.


class NAType:
    """As pandas.NA: nothing is equal or unequal to it."""

    def __ne__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


class NaTType:
    def __ne__(self, other: object) -> bool:
        return True


class float32:
    """As numpy's nan in a type that is no float."""

    def __ne__(self, other: object) -> bool:
        return True


@pytest.mark.parametrize(
    ("value", "name"),
    [(float("nan"), "NaN"), (Decimal("nan"), "NaN"), (NAType(), "NA"), (NaTType(), "NaT"), (float32(), "NaN")],
)
def test_what_is_missing_is_to_be_dropped_and_not_to_be_converted(value: object, name: str) -> None:
    expected = f"the id is missing ({name}). Drop the row. In pandas: s.dropna()."
    assert [str(refusal(each)) for each in (value, (value,), {"id": value})] == [expected] * 3


class timedelta64:
    """As numpy's durations: by their class an integer, but no number."""

    def __int__(self) -> int:
        return 5


Integral.register(timedelta64)


def test_what_only_calls_itself_an_integer_is_no_id() -> None:
    assert "is not a valid id" in str(refusal(timedelta64()))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *((text, "missing values") for text in ("nan", "NaN", "<NA>", "None", "NULL", "null", "#REF!", "#N/A", "\\N")),
        *((text, "rounded numbers") for text in ("1.23457E+15", "1e+16", "-1,5E+7")),
        *((text, "blanks around") for text in (" a", "a ", "\u00a0a", "a\u3000")),
    ],
)
def test_an_id_that_is_likely_a_mistake_is_valid_and_noticed(text: str, kind: str) -> None:
    assert read(text) == text
    assert kind in (doubt(text) or "")
    assert joined_ids(["a", text], 128) is None


@pytest.mark.parametrize("text", ["Nan Goldin", "nano", "NULL-1", "+336+12", "jane+1e+x@example.org", "a b", "12E5"])
def test_an_id_that_only_resembles_one_is_not(text: str) -> None:
    assert doubt(text) is None


def test_blanks_are_removed_on_request() -> None:
    rules = replace(MEP_1_1.members, trims=True)
    given = [" a", "a\r\n", "\u00a0a\t", Member(" a "), {"id": "a "}, (" a",), "a"]
    assert [normalize(value, rules) for value in given] == ["a"] * 7
    annotated = normalize(Member(" a ", tags=[" t "]), rules)
    assert (annotated, annotated.extras) == ("a", '"tags":[" t "]')  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="the id is empty"):
        normalize(" \n", rules)


# Members.


def member(value: object, rules: MemberRules = MEP_1_1.members, *, removes: bool = False) -> tuple[str, str | None]:
    """The id, and what goes beside it; None for a plain id."""
    id_ = normalize(value, rules, removes=removes)
    return str(id_), getattr(id_, "extras", None)


@pytest.mark.parametrize("make", [lambda **fields: Member(**fields), dict], ids=["Member", "dict"])
def test_a_member_is_its_id_and_what_goes_beside_it(make: Callable[..., object]) -> None:
    assert member(make(id="a", attributes={"plan": "gold"}, tags=["new"])) == (
        "a",
        '"attributes":{"plan":"gold"},"tags":["new"]',
    )
    assert member(make(id=7, attributes={"plan": "gold"})) == ("7", '"attributes":{"plan":"gold"}')
    assert member(make(id="a", tags=["new"])) == ("a", '"tags":["new"]')


@pytest.mark.parametrize("rules", [MEP_1_0.members, MEP_1_1.members, CEP.members], ids=["1.0", "1.1", "2.x"])
@pytest.mark.parametrize(
    "value", [Member("a"), {"id": "a"}, Member("a", {}, []), {"id": "a", "attributes": None, "tags": []}, [Member("a")]]
)
def test_a_member_without_anything_beside_its_id_is_a_plain_id(value: object, rules: MemberRules) -> None:
    id_ = normalize(value, rules)
    assert (id_, type(id_)) == ("a", str)


@pytest.mark.parametrize("make", [lambda **fields: Member(**fields), dict], ids=["Member", "dict"])
def test_members_are_read_together_as_they_are_one_by_one(make: Callable[..., object]) -> None:
    both = make(id="a", attributes={"plan": "gold"}, tags=["new"])
    values = [both, make(id="b", attributes={"plan": "gold"}), make(id="c", tags=["new"]), make(id="d")]
    assert annotated(values, MEP_1_1.members) == (
        ["a", "b", "c", "d"],
        ['"attributes":{"plan":"gold"},"tags":["new"]', '"attributes":{"plan":"gold"}', '"tags":["new"]', ""],
    )


@pytest.mark.parametrize(
    "value",
    [
        "a",
        {"id": "a", "name": "Zoe"},
        {"tags": ["new"]},
        {"id": 7},
        Member("nan"),
        Member(" a"),
        Member("a", {"vip": True}),
        [Member("a")],
    ],
    ids=repr,
)
def test_other_values_are_left_to_be_read_one_by_one(value: object) -> None:
    assert annotated([value], MEP_1_1.members) is None
    assert annotated([value, Member("b") if isinstance(value, Member) else {"id": "b"}], MEP_1_1.members) is None


def test_an_annotated_id_is_equal_to_its_id() -> None:
    id_ = normalize(Member("a", {"plan": "gold"}), CEP.members)
    assert isinstance(id_, AnnotatedId)
    assert id_ == "a"
    assert {id_, "a"} == {"a"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"id": SECRET, "name": SECRET}, "a member has only the fields id, attributes and tags"),
        ({"attributes": {"a": SECRET}}, "the dict has no field id"),
        ({"id": None, "attributes": {"a": SECRET}}, "the id is missing (None). Drop the row."),
        ({"id": "", "attributes": {"a": SECRET}}, "the id is empty. Drop the row."),
        ({"id": {"id": SECRET}}, "the dict has no field id"),
        (Member(Member(SECRET)), "a value of type Member is not a valid id"),
        (Member(True), "a bool is not a valid id"),
        (Member("a", {"vip": True}), "a value of type bool cannot be sent"),
        (Member("a", {"a": 1}, SECRET), "tags must be a list"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else "",
)
def test_a_member_that_is_none_is_refused_without_being_shown(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        member(value)
    assert SECRET not in str(caught.value)


def test_other_fields_belong_into_attributes() -> None:
    assert str(refusal({"id": "a", "name": "Zoe"})) == (
        "a member has only the fields id, attributes and tags. Move other fields into attributes."
    )


def test_a_member_does_not_print_itself() -> None:
    assert repr(Member(SECRET, {"a": SECRET}, [SECRET])) == "Member()"
    assert repr([AnnotatedId(SECRET, f'"tags":["{SECRET}"]')]) == "[AnnotatedId()]"
    assert repr(Change("add", SECRET)) == "Change(action='add')"


@pytest.mark.parametrize("rules", [MEP_1_1.members, CEP.members], ids=["1.1", "2.x"])
def test_an_id_is_removed_by_itself_alone(rules: MemberRules) -> None:
    assert member(Member("a", {"plan": None}), rules, removes=True) == ("a", None)
    with pytest.raises(ValueError, match=r"^an id to remove cannot have attributes or tags\. Pass the id alone\.$"):
        member(Member("a", {"plan": "gold"}), rules, removes=True)


@pytest.mark.parametrize("rules", [MEP_1_1.members, CEP.members], ids=["1.1", "2.x"])
def test_a_long_id_is_a_matter_of_one_zero(rules: MemberRules) -> None:
    assert member("i" * 1_000, rules) == ("i" * 1_000, None)
    assert joined_ids(["i" * 1_000], rules.max_id_length) == "i" * 1_000
    assert member(Member(10**500, {"a": 1}), rules)[0] == str(10**500)
    with pytest.raises(ValueError, match="more than the 128"):
        member("i" * 129, MEP_1_0.members)


@pytest.mark.parametrize("value", [Member("a"), {"id": "a"}])
def test_the_quick_look_leaves_members_to_the_other(value: object) -> None:
    assert joined_ids(["a", value], 128) is None
