"""Rows of every form become the same text."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.profiles.table import (
    Profile,
    Table,
    chosen_keys,
    joined,
    keys_in,
    nulls,
    split,
    table_of,
)
from airflow_provider_batch.protocol.rows import BadRow


def lines(*rows: object, clears: bool = False, chosen: Any = None, id_column: str = "custom_id") -> list[str]:
    return table_of(rows, id_column, chosen_keys(chosen)).encoded(clears=clears)[1]


def attributes(*rows: object, **how: Any) -> list[dict[str, Any]]:
    return [json.loads(line)["attributes"] for line in lines(*rows, **how)]


GOLD = '{"identifiers":{"custom_id":"a"},"attributes":{"plan":"gold","score":7}}'


@pytest.mark.parametrize(
    "row",
    [
        {"custom_id": "a", "plan": "gold", "score": 7},
        {"score": 7, "plan": "gold", "custom_id": "a"},
        {"custom_id": "a", "attributes": {"score": 7, "plan": "gold"}},
        {"custom_id": "a", "attributes": {"score": 7, "plan": "gold"}, "last_updated_at": 1},
        {"custom_id": "a", "plan": "gold", "score": 7, "last_updated_at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"custom_id": "a", "PLAN": "gold", "SCORE": 7, "LAST_UPDATED_AT": None},
        {"CUSTOM_ID": "a", "PLAN": "gold", "SCORE": 7},
        {"Custom_Id": "a", "attributes": {"score": 7, "plan": "gold"}},
        Profile("a", {"plan": "gold", "score": 7}),
    ],
    ids=repr,
)
def test_a_row_of_any_form_becomes_the_same_text(row: object) -> None:
    assert lines(row) == [GOLD]
    assert lines(row, {"custom_id": "b"})[0] == GOLD
    assert lines({"custom_id": "b", "other": 1}, row)[1] == GOLD


def test_a_profile_may_have_no_attributes() -> None:
    assert lines({"custom_id": "a"}) == ['{"identifiers":{"custom_id":"a"},"attributes":{}}']
    assert lines({"custom_id": "a"}, {"custom_id": "b", "x": None})[0] == lines({"custom_id": "a"})[0]


def test_an_id_of_another_type_or_with_quotes_is_sent_as_text() -> None:
    assert [json.loads(line)["identifiers"] for line in lines({"custom_id": 7}, {"custom_id": 'a"\\é'})] == [
        {"custom_id": "7"},
        {"custom_id": 'a"\\é'},
    ]


def test_the_id_may_have_another_name() -> None:
    assert lines({"user": "a", "plan": "gold", "score": 7}, id_column="user") == [GOLD]


def test_a_missing_value_is_left_out_or_deletes_the_attribute() -> None:
    rows = [{"custom_id": "a", "plan": None, "score": float("nan")}, {"custom_id": "b", "plan": "gold"}]
    assert attributes(*rows) == [{}, {"plan": "gold"}]
    # The second row has no score at all: nothing is known of it.
    assert attributes(*rows, clears=True) == [{"plan": None, "score": None}, {"plan": "gold"}]


def test_a_date_declares_its_type_row_by_row() -> None:
    rows = [{"custom_id": "a", "last": date(2026, 1, 31)}, {"custom_id": "b", "last": "never"}]
    assert attributes(*rows) == [{"date(last)": "2026-01-31T00:00:00Z"}, {"last": "never"}]
    assert attributes(rows[0]) == [{"date(last)": "2026-01-31T00:00:00Z"}]
    assert attributes({"custom_id": "a", "date__last": date(2026, 1, 31)}) == attributes(rows[0])


def test_chosen_columns_alone_are_sent_under_the_names_that_the_caller_gives() -> None:
    row = {"custom_id": "a", "Plan": "gold", "date__x": "2026-01-31", "other": 1}
    assert attributes(row, chosen=["date__x"]) == [{"date(x)": "2026-01-31T00:00:00Z"}]
    assert attributes(row, chosen={"Plan": "plan", "other": "$region"}) == [{"plan": "gold", "$region": 1}]
    assert attributes(row, chosen={"date__x": "date__x"}) == [{"date__x": "2026-01-31"}]
    assert attributes(row, chosen=["missing"], clears=True) == [{}]
    # Under None, csv.DictReader has what exceeds the columns.
    longer: dict[Any, Any] = {**row, None: ["rest"]}
    assert attributes(longer, chosen=["other"]) == [{"other": 1}]


def test_the_id_may_be_an_attribute_too() -> None:
    one, other = {"custom_id": 7, "x": 1}, {"custom_id": 8}
    chosen = {"custom_id": "number", "x": "x"}
    assert attributes(one, chosen=chosen) == [{"number": 7, "x": 1}]
    assert attributes(one, other, chosen=chosen) == [{"number": 7, "x": 1}, {"number": 8}]


def test_a_chosen_column_is_found_but_for_case_as_in_a_query() -> None:
    one, other = {"custom_id": "a", "PLAN": "gold"}, {"custom_id": "b", "plan": "free"}
    assert attributes(one, one, chosen=["plan"]) == [{"plan": "gold"}] * 2
    assert attributes(other, chosen={"Plan": "tier"}) == [{"tier": "free"}]
    assert attributes({**one, "plan": "exact"}, chosen=["plan"]) == [{"plan": "exact"}]
    # Rows that write it otherwise go into tables of their own: the text of a row does not depend on the others.
    with pytest.raises(
        ValueError, match=r"^these rows write a name in several ways, and each decides for itself which one is meant$"
    ):
        lines(one, {**other, "x": 1}, chosen=["plan"])


def test_moments_of_numpy_are_moments() -> None:
    numpy = pytest.importorskip("numpy")
    moments = [numpy.datetime64("2026-01-31T12:00:00", unit) for unit in ("s", "us", "ns")]
    rows = [{"custom_id": "a", "at": moment} for moment in moments]
    assert attributes(*rows) == [{"date(at)": "2026-01-31T12:00:00Z"}] * 3
    assert attributes({"custom_id": "a", "at": numpy.datetime64("NaT")}, rows[0], clears=True)[0] == {"at": None}
    for value in (numpy.timedelta64(5, "ns"), numpy.datetime64(2**40, "s"), numpy.timedelta64(2**40, "D")):
        with pytest.raises(ValueError, match=r"'at': Batch has no attributes of type (timedelta|datetime64)"):
            lines({"custom_id": "a", "at": value})


def test_a_single_row_may_write_a_name_in_two_ways_of_which_one_is_meant() -> None:
    written = {"plan": 1, "PLAN": 2}
    for row in ({"custom_id": "a", **written}, Profile("a", written)):
        assert attributes(row, chosen=["plan"]) == [{"plan": 1}]


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"plan": "Plan"}, "attribute_columns: attribute 'Plan': Batch accepts"),
        (["Last Order"], "attribute_columns: attribute 'Last Order': Batch accepts"),
        ("plan", "^attribute_columns: a single str is not a list of columns"),
    ],
)
def test_a_choice_that_is_not_valid_is_refused(chosen: Any, reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        chosen_keys(chosen)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"plan": "gold"}, "the row has no custom_id"),
        ({"Custom_id": "a", "CUSTOM_ID": "b"}, "2 fields of the row match custom_id"),
        ({"custom_id": None}, r"the id is missing \(None\)"),
        ({"custom_id": ""}, "the id is empty"),
        ({"custom_id": {"id": "a"}}, "a dict is not a valid id"),
        ({"custom_id": ["a"]}, "a list is not a valid id"),
        ({"custom_id": 1.5}, "a float is not a valid id"),
        ({"custom_id": "a", "Plan": 1}, "attribute 'Plan': Batch accepts names"),
        (
            {"custom_id": "a", "batch__language": date(2026, 1, 31)},
            r"'\$language': none of Batch's own attributes is a date",
        ),
        ({"custom_id": "a", 7: 1}, "must be text, not int"),
        ({"custom_id": "a", "x": {"y": 1}}, "attribute 'x': a dict may only have"),
        ({"custom_id": "a", "w": 0, "x": 1, "date__x": None}, "attribute 'x' is given twice"),
        ({"custom_id": "a", "attributes": {"x": 1}, "y": 2}, "other fields beside attributes"),
        ("a", "a str is not a profile"),
        (["a", 1], "a list is not a profile"),
        (Profile("a", "gold"), "must be a dict of names and values, not str"),  # type: ignore[arg-type]
        (BadRow("the line is not valid JSON."), "the line is not valid JSON"),
    ],
    ids=repr,
)
def test_a_row_that_is_not_a_profile_is_refused_with_the_reason(row: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        lines(row)
    with pytest.raises(ValueError, match=reason):
        lines({"custom_id": "b"}, row)


def test_rows_with_too_many_names_are_cut_before_they_fill_the_memory() -> None:
    rows = [{"custom_id": "a", f"id_{number}": 1} for number in range(1_001)]
    wide = [Profile("a", {f"a_{number}": 1 for number in range(501)}), Profile("b", {f"b_{n}": 1 for n in range(500)})]
    for many in (rows, wide):
        with pytest.raises(ValueError, match=r"^these rows have too many names for one table$"):
            lines(*many)
    assert len(lines(*rows[:1_000])) == 1_000


def test_a_single_profile_may_have_any_number_of_attributes() -> None:
    (found,) = attributes(Profile("a", {f"n_{number}": number for number in range(1_001)}))
    assert len(found) == 1_001


def test_the_keys_of_a_table_are_those_with_a_value() -> None:
    rows = [{"custom_id": "a", "plan": "gold", "last": None}, {"custom_id": "b", "plan": None, "at": date(2026, 1, 31)}]
    assert table_of(rows, "custom_id", None).encoded(clears=True)[2] == {"plan", "date(at)"}


def test_a_table_gives_its_rows_and_parts() -> None:
    table = table_of([{"custom_id": "a", "x": 1}, {"custom_id": "b"}], "custom_id", None)
    assert len(table) == 2
    assert table[0] == Profile("a", {"x": 1})
    assert table[1] == Profile("b", {})  # what a row does not have stays absent
    assert list(table[1:]) == [Profile("b", {})]
    assert table_of(table, "custom_id", {"x": "y"}) == Table(["a", "b"], {"y": table.columns["x"]})
    assert Table(["a"], {}).encoded(clears=True)[0] == ["a"]


def test_nothing_private_is_in_a_repr() -> None:
    assert "secret" not in repr(Profile("secret", {"x": "secret"})) + repr(Table(["secret"], {"x": ["secret"]}))


ROWS = st.lists(
    st.fixed_dictionaries(
        {"custom_id": st.text('ab"\\é', min_size=1)},
        optional={
            "plan": st.none() | st.text(),
            "last": st.none() | st.dates() | st.text(),
            "n": st.none() | st.floats(allow_infinity=False) | st.integers() | st.booleans(),
            "tags": st.none() | st.lists(st.text()),
        },
    ),
    min_size=1,
)


@given(ROWS, st.booleans())
def test_the_text_of_a_row_does_not_depend_on_its_block(rows: list[dict[str, Any]], clears: bool) -> None:
    together = lines(*rows, clears=clears)
    assert together == [line for row in rows for line in lines(row, clears=clears)]
    assert [json.loads(line)["identifiers"]["custom_id"] for line in together] == [row["custom_id"] for row in rows]


@given(st.text(min_size=1).filter(lambda text: text.strip() == text and text.isprintable()))
@example('a"},')
@example('a\\"},')
@example('"},"attributes":{')
def test_a_line_is_taken_apart_and_put_together_again(id_: str) -> None:
    (line,) = lines({"custom_id": id_, "x_1": '"},"attributes":{'})
    assert split(f"{line}\n".encode()) == (id_, '"attributes":{"x_1":"\\"},\\"attributes\\":{"}')
    assert joined(*split(line.encode())) == line.encode()


def test_the_keys_of_a_line_are_set_or_deleted() -> None:
    (line,) = lines({"custom_id": "a", "plan": None, "score": 0, "name": "", "url__x": None}, clears=True)
    assert keys_in(split(line.encode())[1]) == (("name", "score"), ("plan", "url(x)"))


def test_attributes_are_deleted_by_their_keys() -> None:
    assert json.loads(joined("a", nulls(["plan", "date(last)"]))) == {
        "identifiers": {"custom_id": "a"},
        "attributes": {"date(last)": None, "plan": None},
    }


@pytest.mark.parametrize(
    "rows",
    [
        [{"custom_id": "a", "CUSTOM_ID": "b"}],
        [{"custom_id": "a", " Custom_Id ": "b"}, {"custom_id": "a"}],
    ],
)
def test_a_second_field_with_the_name_of_the_id_is_refused(rows: list[Any]) -> None:
    with pytest.raises(ValueError, match="there are two fields custom_id, which differ in case alone"):
        table_of(rows, "custom_id", None)
    assert table_of(rows, "custom_id", {}).ids[0] == "a"


def test_an_attribute_that_stands_apart_from_the_id_may_have_its_name() -> None:
    rows = [{"custom_id": "a", "attributes": {"custom_id": "b"}}, Profile("c", {"custom_id": "d"})]
    assert attributes(*rows) == [{"custom_id": "b"}, {"custom_id": "d"}]
