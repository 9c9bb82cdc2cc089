from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batch.protocol.audiences.attributes import extras
from airflow_provider_batch.protocol.dialect import MEP_1_0, MEP_1_1, MemberRules, cep
from tests.clock import local_zone

steady = settings(max_examples=150, deadline=None, derandomize=True)

V1_0, V1_1, V2 = MEP_1_0.members, MEP_1_1.members, cep().dialects[0].members
BOTH = pytest.mark.parametrize("rules", [V1_1, V2], ids=["1.1", "2.x"])
EVERY = pytest.mark.parametrize("rules", [V1_0, V1_1, V2], ids=["1.0", "1.1", "2.x"])
SECRET = "SECRET-VALUE"


class Level(IntEnum):
    GOLD = 3


class Plan(StrEnum):
    FREE = "free"


class Opaque:
    def __repr__(self) -> str:
        return SECRET


def written(attributes: object, rules: MemberRules = V2, tags: object = None) -> dict[str, Any]:
    """What stands beside the id."""
    beside: dict[str, Any] = json.loads(f"{{{extras(attributes, tags, rules)}}}")
    return beside


def attributes(given: Mapping[str, object], rules: MemberRules = V2) -> dict[str, Any]:
    spelled: dict[str, Any] = written(given, rules)["attributes"]
    return spelled


def refusal(attributes: object, rules: MemberRules = V2, tags: object = None) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is what the tests are about
        extras(attributes, tags, rules)
    assert type(caught.value) is ValueError
    assert SECRET not in str(caught.value)
    return str(caught.value)


# What is written.


@BOTH
@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("gold", "gold"),
        ("", ""),
        pytest.param('a "quoted" \\ line\nÜ 😀', 'a "quoted" \\ line\nÜ 😀', id="signs"),
        (Plan.FREE, "free"),
        (0, 0),
        (-7, -7),
        (2**70, 2**70),
        (Level.GOLD, 3),
        (0.5, 0.5),
        (Decimal("1.50"), 1.5),
        (Decimal("3"), 3),
        (Decimal("3.00"), 3),
        (Decimal("1E+3"), 1000),
    ],
    ids=repr,
)
def test_texts_and_numbers_are_written_under_their_name(value: object, sent: object, rules: MemberRules) -> None:
    given = attributes({"name": value}, rules)
    assert given == {"name": sent}
    assert type(given["name"]) is type(sent)


def test_a_date_is_sent_in_utc_wherever_this_machine_stands() -> None:
    with local_zone("Asia/Tokyo"):
        assert attributes({"seen": datetime(2026, 1, 31, 12, 30, 5, tzinfo=UTC)}) == {
            "date(seen)": "2026-01-31T12:30:05Z"
        }


@pytest.mark.parametrize(("rules", "zone"), [(V1_1, ""), (V2, "Z")], ids=["1.1", "2.x"])
@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (datetime(2026, 1, 31, 12, 30, 5), "2026-01-31T12:30:05"),  # noqa: DTZ001 - as a database without zones gives it
        (datetime(2026, 1, 31, 12, 30, 5, 999_999, UTC), "2026-01-31T12:30:05"),
        (datetime(2026, 1, 31, 0, 30, tzinfo=timezone(timedelta(hours=2))), "2026-01-30T22:30:00"),
        (date(2026, 1, 31), "2026-01-31T00:00:00"),
    ],
    ids=str,
)
def test_a_date_is_written_in_utc_with_its_type_in_the_key(
    value: date, sent: str, rules: MemberRules, zone: str
) -> None:
    assert attributes({"seen": value}, rules) == {"date(seen)": sent + zone}
    assert attributes({"date(seen)": value}, rules) == {"date(seen)": sent + zone}


@pytest.mark.parametrize(("rules", "zone"), [(V1_1, ""), (V2, "Z")], ids=["1.1", "2.x"])
@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("2026-01-31T12:30:05", "2026-01-31T12:30:05"),
        ("2026-01-31 12:30", "2026-01-31T12:30:00"),
        ("2026-01-31", "2026-01-31T00:00:00"),
        ("2026-01-31T12:30:05Z", "2026-01-31T12:30:05"),
        ("2026-01-31T12:30:05.250+02:00", "2026-01-31T10:30:05"),
    ],
)
def test_a_date_may_be_text_where_the_key_says_so(text: str, sent: str, rules: MemberRules, zone: str) -> None:
    assert attributes({"date(seen)": text}, rules) == {"date(seen)": sent + zone}


@BOTH
def test_text_that_looks_like_a_date_or_an_address_stays_text(rules: MemberRules) -> None:
    given = {"seen": "2026-01-31", "page": "https://example.com"}
    assert attributes(given, rules) == given


@BOTH
@pytest.mark.parametrize("address", ["https://example.com/me?a=b", "app://profile", "http://localhost:1"])
def test_an_address_is_text_with_its_type_in_the_key(address: str, rules: MemberRules) -> None:
    assert attributes({"url(page)": address}, rules) == {"url(page)": address}


def test_a_version_may_take_texts_alone() -> None:
    rules = replace(V2, kinds=frozenset({"text"}))
    assert attributes({"plan": "gold"}, rules) == {"plan": "gold"}
    assert refusal({"age": 7}, rules) == "attribute 'age': API 2.11 takes no numbers"


def test_version_two_takes_arrays_of_texts_and_numbers() -> None:
    assert attributes({"a": ["x", 1, 0.5, Decimal("2.50")], "b": (), "c": ("y",)}) == {
        "a": ["x", 1, 0.5, 2.5],
        "b": [],
        "c": ["y"],
    }


@BOTH
def test_what_is_null_in_a_row_is_left_out(rules: MemberRules) -> None:
    assert attributes({"plan": None, "age": 1, "date(seen)": None, "url(page)": None}, rules) == {"age": 1}
    assert extras({"plan": None}, None, rules) == ""


@EVERY
@pytest.mark.parametrize("nothing", [None, {}])
@pytest.mark.parametrize("tags", [None, [], ()])
def test_nothing_known_is_nothing_to_write(nothing: object, tags: object, rules: MemberRules) -> None:
    assert extras(nothing, tags, rules) == ""


def test_fifteen_attributes_are_taken_and_nulls_do_not_count() -> None:
    fifteen = {f"a{number}": number for number in range(15)}
    assert attributes({**fifteen, "null": None}) == fifteen
    assert refusal({**fifteen, "one more": 1}) == "16 attributes are more than the 15 that API 2.11 takes"


def test_version_one_one_has_no_limit_of_attributes() -> None:
    many = {f"a{number}": number for number in range(16)}
    assert attributes(many, V1_1) == many


def test_any_mapping_will_do() -> None:
    assert attributes(MappingProxyType({"plan": "gold"})) == {"plan": "gold"}


def test_tags_are_written_once_each_and_in_their_order() -> None:
    assert written(None, V1_1, ["new", "vip", "new"]) == {"tags": ["new", "vip"]}
    assert written({"a": 1}, V1_1, ("é",)) == {"attributes": {"a": 1}, "tags": ["é"]}


@BOTH
def test_attributes_are_written_alike_in_whatever_order_they_come(rules: MemberRules) -> None:
    given = {"b": 1, "a": "x", "c": datetime(2026, 1, 31, tzinfo=UTC), "url(a)": "app://a"}
    turned = dict(reversed(given.items()))
    assert extras(given, None, rules) == extras(turned, None, rules)
    assert extras({"b": 1, "a": "x"}, None, rules) == '"attributes":{"a":"x","b":1}'


# What is refused.


@BOTH
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"vip": True}, "attribute 'vip': a value of type bool cannot be sent; pass 0 or 1, or text"),
        ({"a": SECRET.encode()}, "attribute 'a': a value of type bytes cannot be sent"),
        ({"a": {"deep": SECRET}}, "attribute 'a': a value of type dict cannot be sent"),
        ({"a": {SECRET}}, "attribute 'a': a value of type set cannot be sent"),
        ({"a": UUID(int=0)}, "attribute 'a': a value of type UUID cannot be sent"),
        ({"a": Opaque()}, "attribute 'a': a value of type Opaque cannot be sent"),
        ({"a": timedelta(1)}, "attribute 'a': a value of type timedelta cannot be sent"),
        ({"date(a)": SECRET}, "attribute 'date(a)': its text is not a date"),
        ({"date(a)": ""}, "attribute 'date(a)': its text is not a date"),
        ({"date(a)": 1767225600}, "attribute 'date(a)': its key asks for another type than int"),
        ({"url(a)": SECRET}, "attribute 'url(a)': its value is not a URL"),
        ({"url(a)": f"https://{SECRET} b"}, "attribute 'url(a)': its value is not a URL"),
        ({"url(a)": date(2026, 1, 1)}, "attribute 'url(a)': its key asks for another type than date"),
        ({"url(a)": 5}, "attribute 'url(a)': its key asks for another type than int"),
        ({"seen": date(2026, 1, 1), "date(seen)": date(2026, 1, 1)}, "is given twice; its key is 'date(seen)'"),
        ({1: SECRET}, "an attribute's name must be text"),
        ({"": SECRET}, "an attribute's name must be text"),
        ({" ": SECRET}, "an attribute's name must be text"),
        ({"a": f"{SECRET}\ud800"}, "lone surrogate"),
        ({"a\ud800": SECRET}, "lone surrogate"),
        ([SECRET], "attributes must be a dict of names and values, not list"),
        (SECRET, "attributes must be a dict of names and values, not str"),
        ([("a", SECRET)], "attributes must be a dict of names and values, not list"),
    ],
)
def test_what_the_api_does_not_take_is_refused_with_a_reason(given: object, reason: str, rules: MemberRules) -> None:
    assert reason in refusal(given, rules)


@BOTH
@pytest.mark.parametrize(
    "number",
    [
        float("nan"),
        float("inf"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        Decimal("1E+400"),
        10**400,
        -(10**5000),
    ],
    ids=["nan", "inf", "-inf", "Decimal nan", "signalling nan", "Decimal inf", "Decimal", "integer", "long integer"],
)
def test_a_number_that_json_does_not_have_is_refused(number: object, rules: MemberRules) -> None:
    assert "attribute 'a': JSON has no NaN and nothing above 1.8e308" in refusal({"a": number}, rules)


def test_a_number_in_an_array_is_looked_at_like_any() -> None:
    assert "JSON has no NaN" in refusal({"a": [1, float("nan")]})


@BOTH
@pytest.mark.parametrize(
    "edge",
    [
        datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-5))),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))),
        "9999-12-31T23:59:00-05:00",
    ],
    ids=str,
)
def test_a_date_that_does_not_exist_in_utc_is_refused(edge: object, rules: MemberRules) -> None:
    assert "attribute 'date(a)': its date is out of range" in refusal({"date(a)": edge}, rules)


@pytest.mark.parametrize("item", [True, None, SECRET.encode(), [SECRET], {"a": 1}, date(2026, 1, 1)], ids=repr)
def test_an_array_holds_texts_and_numbers_only(item: object) -> None:
    assert refusal({"a": ["x", item]}) == "attribute 'a': an array may hold text and numbers only"


def test_version_one_one_takes_no_arrays() -> None:
    assert refusal({"a": [SECRET]}, V1_1) == "attribute 'a': API 1.1 takes no arrays"


def test_version_one_takes_neither_attributes_nor_tags() -> None:
    assert refusal({"a": SECRET}, V1_0) == "API 1.0 takes no attributes; pass the id alone"
    assert refusal(None, V1_0, [SECRET]) == "API 1.0 takes no tags; pass the id alone"


def test_version_two_takes_no_tags() -> None:
    assert refusal({"a": 1}, V2, [SECRET]) == "API 2.11 takes no tags; pass the id alone"


@pytest.mark.parametrize(
    "tags", [SECRET, SECRET.encode(), {SECRET: 1}, 7, Opaque()], ids=lambda tags: type(tags).__name__
)
def test_tags_are_a_list(tags: object) -> None:
    assert refusal(None, V1_1, tags) == f"tags must be a list of texts, not {type(tags).__name__}"


@pytest.mark.parametrize("tag", ["", " ", 7, None, True, [SECRET], {SECRET}], ids=repr)
def test_a_tag_is_text(tag: object) -> None:
    assert refusal(None, V1_1, [SECRET, tag]) == "a tag must be text that is not blank"


def test_a_surrogate_in_a_tag_is_refused() -> None:
    assert "lone surrogate" in refusal(None, V1_1, [f"{SECRET}\ud800"])


def test_a_long_name_is_shown_by_its_beginning() -> None:
    assert len(refusal({"n" * 10_000: True})) < 200


# Whatever is given: text that is a part of JSON, or a ValueError.


def values() -> st.SearchStrategy[object]:
    plain = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.decimals(),
        st.text(max_size=5),
        st.binary(max_size=3),
        st.dates(),
        st.datetimes(timezones=st.one_of(st.none(), st.just(UTC))),
        st.just(timedelta(1)),
    )
    return st.one_of(plain, st.lists(plain, max_size=3), st.dictionaries(st.text(max_size=2), plain, max_size=2))


names = st.one_of(st.text(max_size=4), st.sampled_from(["date(a)", "url(a)", "date()", "a"]), st.integers())


@steady
@given(st.dictionaries(names, values(), max_size=4), values(), st.sampled_from([V1_0, V1_1, V2]))
def test_anything_is_written_as_json_or_refused_as_a_value(
    given_attributes: dict[object, object], tags: object, rules: MemberRules
) -> None:
    try:
        text = extras(given_attributes, tags, rules)
    except ValueError:
        return
    beside = json.loads(f"{{{text}}}".encode())
    assert beside.keys() <= {"attributes", "tags"}
    assert all(beside.values())


def test_tags_may_be_any_iterable() -> None:
    def named() -> Iterator[str]:
        yield "new"

    assert written(None, V1_1, named()) == {"tags": ["new"]}


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({" ": 1}, "an attribute's name must be text that is not blank"),
        ({7: 1}, "an attribute's name must be text that is not blank"),
        ({"a": "\ud800"}, "an attribute or tag has a lone surrogate; decode the source with the right encoding"),
        ({"vip": True}, "attribute 'vip': a value of type bool cannot be sent; pass 0 or 1, or text"),
        ({"vip": b"x"}, "attribute 'vip': a value of type bytes cannot be sent"),
    ],
)
def test_a_reason_is_given_whole(attributes: object, reason: str) -> None:
    assert refusal(attributes) == reason
