"""The cells of one attribute, alone and in blocks: the text of a cell is the same in both."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batch.protocol.profiles.values import ABSENT, encoded, native
from tests.clock import local_zone

PARIS = timezone(timedelta(hours=2))


class Number(int):
    """An int that prints otherwise."""

    def __repr__(self) -> str:
        return "number"


def one(value: object, kind: str = "") -> str | None:
    (text,) = encoded([value], kind)
    return text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("gold", '"gold"'),
        ('a "b" \\ \n é', '"a \\"b\\" \\\\ \\n é"'),
        ("", '""'),
        (12, "12"),
        (Number(12), "12"),
        (True, "true"),
        (False, "false"),
        (0.5, "0.5"),
        (12.0, "12.0"),
        (Decimal("12.50"), "12.5"),
        (Decimal("12.00"), "12.0"),
        (Decimal(12), "12"),
        (Decimal("1E+3"), "1000"),
        (datetime.fromisoformat("2026-01-31T12:30:05"), '"2026-01-31T12:30:05Z"'),
        (datetime(2026, 1, 31, 12, 30, 5, 999_999, UTC), '"2026-01-31T12:30:05Z"'),
        (datetime(2026, 1, 31, 1, 30, tzinfo=PARIS), '"2026-01-30T23:30:00Z"'),
        (date(2026, 1, 31), '"2026-01-31T00:00:00Z"'),
        (["a", "b"], '["a","b"]'),
        (("a",), '["a"]'),
        ([], "[]"),
        ('["a", "b"]', '["a","b"]'),
        ("[a]", '"[a]"'),
        ("[1]", '"[1]"'),
        ("[" * 2_000, f'"{"[" * 2_000}"'),
        ({"$add": ["a"]}, '{"$add":["a"]}'),
        ({"$remove": ["b"], "$add": ["a"]}, '{"$add":["a"],"$remove":["b"]}'),
        ({"$remove": None, "$add": ["a"]}, '{"$add":["a"]}'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
    ],
    ids=repr,
)
def test_a_value_becomes_json_of_its_type(value: object, text: str) -> None:
    assert one(value) == text


@pytest.mark.parametrize(
    "missing", [None, float("nan"), Decimal("NaN"), ABSENT], ids=["none", "nan", "decimal", "absent"]
)
def test_a_missing_value_has_no_text(missing: object) -> None:
    assert one(missing) is None
    assert encoded(["a", missing], "") == ['"a"', None]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2026-01-31", '"2026-01-31T00:00:00Z"'),
        ("2026-01-31 12:00:00", '"2026-01-31T12:00:00Z"'),
        ("2026-01-31T12:00:00+02:00", '"2026-01-31T10:00:00Z"'),
        ("2026-01-31T12:00:00.123Z", '"2026-01-31T12:00:00Z"'),
        (datetime.fromisoformat("2026-01-31"), '"2026-01-31T00:00:00Z"'),
        (date(2026, 1, 31), '"2026-01-31T00:00:00Z"'),
    ],
    ids=repr,
)
def test_a_declared_date_is_written_in_utc(value: object, text: str) -> None:
    assert one(value, "date") == text


@pytest.mark.parametrize("cell", [datetime(2026, 1, 31, tzinfo=UTC), date(2026, 1, 31)])
def test_a_declared_date_may_be_missing_beside_one(cell: object) -> None:
    assert encoded([cell, None], "date") == ['"2026-01-31T00:00:00Z"', None]


def test_a_declared_url_is_text_as_it_is() -> None:
    assert one('["a"]', "url") == '"[\\"a\\"]"'
    assert encoded([None, '["a"]'], "url") == [None, '"[\\"a\\"]"']


def test_every_text_of_a_block_may_be_an_array() -> None:
    assert encoded(["a", '["b"]'], "") == ['"a"', '["b"]']


def test_an_integer_may_be_larger_than_any_float() -> None:
    assert encoded([10**400, 7], "") == [str(10**400), "7"]


def test_a_moment_is_sent_in_utc_wherever_this_machine_stands() -> None:
    with local_zone("Asia/Tokyo"):
        assert one(datetime(2026, 1, 31, 1, 30, tzinfo=PARIS)) == '"2026-01-30T23:30:00Z"'


FIELDS = "a dict may only have $add and $remove, with lists of text. Pass its fields one by one."
INFINITE = "JSON has no infinite numbers, and none above 1.8e308. Leave it out."


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        ({"city": "Paris"}, "", FIELDS),
        ({}, "", FIELDS),
        ({"$add": None, "$remove": None}, "", FIELDS),
        ({"$add": "a"}, "", "an array may hold text only. Convert its items to text."),
        ([1], "", "an array may hold text only. Convert its items to text."),
        ([["a"]], "", "an array may hold text only. Convert its items to text."),
        (b"a", "", "Batch has no attributes of type bytes. Convert it to text, or leave it out."),
        (1j, "", "Batch has no attributes of type complex. Convert it to text, or leave it out."),
        (float("inf"), "", INFINITE),
        (Decimal("1e400"), "", INFINITE),
        (Decimal("sNaN"), "", INFINITE),
        ("soon", "date", "its text is not a date such as 2026-01-31T12:00:00"),
        (7, "date", "the value of date(…) is of another type"),
        (7, "url", "the value of url(…) is of another type"),
        (datetime.fromisoformat("2026-01-01"), "url", "the value of url(…) is of another type"),
        (date(2026, 1, 1), "url", "the value of url(…) is of another type"),
        (datetime.min.replace(tzinfo=PARIS), "", "its date is out of range in UTC; leave it out"),
    ],
    ids=repr,
)
def test_a_value_that_no_attribute_can_have_is_refused_with_the_reason(value: object, kind: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        one(value, kind)
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        encoded(["a" if not kind else None, value], kind)


ZONES: Any = st.none() | st.just(UTC) | st.just(PARIS)
VALUES = st.one_of(
    st.none(),
    st.text(),
    st.integers(),
    st.floats(allow_infinity=False),
    st.booleans(),
    st.datetimes(timezones=ZONES, min_value=datetime.fromisoformat("1900-01-01")),
    st.dates(),
    st.lists(st.text()),
    st.decimals(allow_infinity=False, places=2, allow_nan=False),
    st.fixed_dictionaries({"$add": st.lists(st.text())}),
)


@given(st.lists(VALUES) | st.lists(st.text()) | st.lists(st.floats(allow_infinity=False)) | st.lists(st.integers()))
def test_the_text_of_a_cell_does_not_depend_on_its_block(cells: list[Any]) -> None:
    texts = encoded(cells, "")
    assert texts == [one(cell) for cell in cells]
    assert all(text is None or json.loads(text) is not None for text in texts)


class Numpys:
    """A scalar or an array of numpy, as far as its users see it: it need not be installed."""

    dtype = SimpleNamespace(kind="i")

    def __init__(self, value: object) -> None:
        self._value = value

    def tolist(self) -> object:
        return self._value


Numpys.__module__ = "numpy"


@pytest.mark.parametrize(("value", "text"), [(7, "7"), (0.5, "0.5"), (True, "true"), (["a", "b"], '["a","b"]')])
def test_values_of_numpy_are_those_of_python(value: object, text: str) -> None:
    assert one(*native([Numpys(value)])) == text
    assert encoded(native([Numpys(value), 7]), "") == [text, "7"]
