from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pytest

from airflow_provider_batch.exceptions import InvalidArgumentError, SourceError
from airflow_provider_batch.protocol.audiences.members import Change, Member
from airflow_provider_batch.protocol.rows import BadRow
from airflow_provider_batch.sources.columns import Columns, cells, find

NO_TAGS = BadRow("the tags begin like a JSON array but are none")


def made(columns: Columns, names: Sequence[str], *rows: Sequence[object], blank: bool = False) -> list[object]:
    return columns.pick(names, "here", blank=blank).values(partial(cells, rows))


@pytest.mark.parametrize(
    ("wanted", "names", "place"),
    [
        ("id", ["x", "id"], 1),
        ("id", ["ID", "id", "Id"], 1),
        ("id", ["x", "ID"], 1),
        ("ID", ["x", "id"], 1),
        ("id", ["x", " Id "], 1),
        ("straße", ["STRASSE"], 0),
    ],
)
def test_a_name_is_matched_exactly_else_in_any_case(wanted: str, names: list[str], place: int) -> None:
    assert find(wanted, names, "here") == place


@pytest.mark.parametrize(
    ("wanted", "names", "message"),
    [
        ("id", ["user", "Mail 2"], r"here: there is no column 'id'; there are: 'user', 'Mail 2'$"),
        ("id", [], "here: there is no column 'id'; there are no columns$"),
        ("id", ["ID", "Id"], "here: 2 columns could be 'id'; there are: 'ID', 'Id'$"),
        ("id", ["id", "id"], "here: 2 columns could be 'id'"),
        ("id", ["jane@example.com", "4815162342"], "here: there is no column 'id'; there are 2 without a proper name$"),
        ("id", ["a", "+33 6 12"], "there are: 'a' and 1 more$"),
        ("id", [f"c{n}" for n in range(30)], "'c19' and 10 more$"),
    ],
)
def test_a_missing_column_is_named_with_those_there_are(wanted: str, names: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        find(wanted, names, "here")


def test_the_only_column_needs_no_name() -> None:
    assert made(Columns(), ["x"], ["a"], ["b"]) == ["a", "b"]
    assert made(Columns(action_column="op"), ["OP", "x"], ["add", "a"]) == [Change("add", "a")]


@pytest.mark.parametrize(
    ("columns", "names", "message"),
    [
        (Columns(), ["x", "y"], "which of 2 columns is the id[?] Name it with id_column; there are: 'x', 'y'"),
        (Columns(action_column="x"), ["x"], "no column is left for the id. Name it with id_column"),
    ],
)
def test_one_of_several_columns_has_to_be_named(columns: Columns, names: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        columns.pick(names, "here")


@pytest.mark.parametrize("asked", [Columns("i", "x"), Columns("i", None, ["x"]), Columns("i", None, None, "x")])
def test_every_column_that_is_asked_for_must_be_there(asked: Columns) -> None:
    with pytest.raises(SourceError, match="there is no column 'x'"):
        asked.pick(["i"], "here")


def test_integers_are_ids_in_decimal_and_anything_else_stays() -> None:
    assert made(Columns(), ["x"], [1], [-20]) == ["1", "-20"]
    assert made(Columns(), ["x"], [1], [True], [None], ["a"], [1.5]) == [1, True, None, "a", 1.5]
    assert made(Columns(), ["x"], [True], [False]) == [True, False]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [(["B", "c"], {"B": 1, "c": "x"}), ({"b": "points", "c": "city"}, {"points": 1, "city": "x"}), (["b"], {"b": 1})],
)
def test_attributes_are_called_as_they_are_asked_for(
    asked: Sequence[str] | Mapping[str, str], expected: dict[str, object]
) -> None:
    assert made(Columns("a", None, asked), ["A", "b", "C"], ["i", 1, "x"]) == [Member("i", expected)]


@pytest.mark.parametrize(("blank", "attributes"), [(False, {"c": ""}), (True, None)])
def test_null_is_no_attribute_nor_is_empty_text_where_it_stands_for_null(
    blank: bool, attributes: dict[str, object] | None
) -> None:
    columns = Columns("a", None, ["b", "c"])
    assert made(columns, ["a", "b", "c"], ["i", None, ""], blank=blank) == [Member("i", attributes)]


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        (None, None),
        ("", None),
        ("vip", ["vip"]),
        (" vip , new,, ", ["vip", "new"]),
        ('["vip", "a, b"]', ["vip", "a, b"]),
        ("[]", []),
        ([], []),
        (("a", "b"), ["a", "b"]),
        (["a", 1], ["a", 1]),
    ],
)
def test_tags_are_a_list_or_text(cell: object, tags: list[str] | None) -> None:
    assert made(Columns("i", None, None, "t"), ["i", "t"], ["a", cell]) == [Member("a", None, tags)]


@pytest.mark.parametrize(
    ("cell", "bad"),
    [("[vip]", NO_TAGS), ("[" * 100_000, NO_TAGS), (7, BadRow("tags of type int are neither a list nor text"))],
)
def test_tags_that_are_none_make_a_bad_row(cell: object, bad: BadRow) -> None:
    assert made(Columns("i", None, None, "t"), ["i", "t"], ["a", cell], ["b", None]) == [bad, Member("b")]
    actions = Columns("i", "do", None, "t")
    assert made(actions, ["i", "t", "do"], ["a", cell, "add"]) == [bad]


@pytest.mark.parametrize(("word", "action"), [("add", "add"), ("Remove", "remove"), (" ADD ", "add")])
def test_an_action_is_add_or_remove(word: str, action: str) -> None:
    (change,) = made(Columns("i", "do"), ["i", "do"], [None, word])
    assert isinstance(change, Change)
    assert (change.action, change.value) == (action, None)


@pytest.mark.parametrize("word", ["", "delete", None, 1, ["add"]])
def test_any_other_action_makes_a_bad_row(word: object) -> None:
    assert made(Columns("i", "do"), ["i", "do"], ["a", word]) == [BadRow("the action is neither 'add' nor 'remove'")]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("points", "a single text is no list of columns"),
        (["a", "a"], "'a' is named twice"),
        ({"a": "x", "b": "x"}, "two columns would be the attribute 'x'"),
    ],
)
def test_attributes_that_are_no_list_of_columns_are_refused(asked: Sequence[str], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Columns("i", None, asked)


def test_only_the_columns_asked_for_are_read() -> None:
    assert Columns("i", "do", ["x", "y"], "x").pick(["y", "x", "do", "i"], "here").keys == [3, 2, 1, 0]
