from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pytest

from airflow_provider_batch.exceptions import InvalidArgumentError, SourceError
from airflow_provider_batch.protocol.audiences.members import NO_ACTION, Change, Member
from airflow_provider_batch.protocol.rows import BadRow
from airflow_provider_batch.sources.columns import ID_NAME, Columns, cells, find_column

NO_TAGS = BadRow("the tags begin with '[' but are not a JSON array. Correct them, or separate them by commas.")


def values_of(
    columns: Columns, names: Sequence[str], *rows: Sequence[object], nulls: frozenset[str] = frozenset()
) -> list[object]:
    return columns.select(names, "here", nulls=nulls).values(partial(cells, rows))


@pytest.mark.parametrize(
    ("wanted", "names", "position"),
    [
        ("id", ["x", "id"], 1),
        ("id", ["ID", "id", "Id"], 1),
        ("id", ["x", "ID"], 1),
        ("ID", ["x", "id"], 1),
        ("id", ["x", " Id "], 1),
        ("straße", ["STRASSE"], 0),
    ],
)
def test_a_name_is_matched_exactly_else_in_any_case(wanted: str, names: list[str], position: int) -> None:
    assert find_column(wanted, names, "here") == position


@pytest.mark.parametrize(
    ("wanted", "names", "message"),
    [
        ("id", ["alice_dupont", "Paris"], "here: there is no column 'id'; it has 2 columns. Check the name."),
        ("id", [], "here: there is no column 'id'; it has 0 columns. Check the name."),
        (3, ["1"], "here: there is no column '3'; it has 1 column. Check the name."),
        (
            "id",
            ["Paris", "ID", " Id"],
            "here: 2 columns match 'id', but only one may: 'ID', ' Id'. Pass one of these names exactly, or rename the "
            "others.",
        ),
        (
            "id",
            ["id", "id"],
            "here: 2 columns match 'id', but only one may: 'id', 'id'. Pass one of these names exactly, or rename the "
            "others.",
        ),
    ],
)
def test_an_error_quotes_what_was_asked_for_and_counts_the_others(
    wanted: str | int, names: list[str], message: str
) -> None:
    with pytest.raises(SourceError) as caught:
        find_column(wanted, names, "here")
    assert str(caught.value) == message


def test_the_only_column_needs_no_name() -> None:
    assert values_of(Columns(), ["x"], ["a"], ["b"]) == ["a", "b"]
    assert values_of(Columns(action_column="op"), ["OP", "x"], ["add", "a"]) == [Change("add", "a")]


@pytest.mark.parametrize(
    ("columns", "names", "message"),
    [
        (
            Columns(),
            ["x", "y"],
            r"here: 2 columns could be the id, and id_column is not set\. Pass id_column=\.$",
        ),
        (Columns(action_column="x"), ["x"], "no column is left for the id, and id_column is not set"),
    ],
)
def test_one_of_several_columns_has_to_be_named(columns: Columns, names: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        columns.select(names, "here")


@pytest.mark.parametrize("columns", [Columns("i", "x"), Columns("i", None, ["x"]), Columns("i", None, None, "x")])
def test_every_selected_column_must_exist(columns: Columns) -> None:
    with pytest.raises(SourceError, match="there is no column 'x'"):
        columns.select(["i"], "here")


def test_integers_become_decimal_text_and_other_values_stay() -> None:
    assert values_of(Columns(), ["x"], [1], [-20]) == ["1", "-20"]
    assert values_of(Columns(), ["x"], [1], [True], [None], ["a"], [1.5]) == [1, True, None, "a", 1.5]
    assert values_of(Columns(), ["x"], [True], [False]) == [True, False]


@pytest.mark.parametrize(
    ("attribute_columns", "expected"),
    [(["B", "c"], {"B": 1, "c": "x"}), ({"b": "points", "c": "city"}, {"points": 1, "city": "x"}), (["b"], {"b": 1})],
)
def test_attributes_have_the_requested_names(
    attribute_columns: Sequence[str | int] | Mapping[str | int, str], expected: dict[str, object]
) -> None:
    assert values_of(Columns("a", None, attribute_columns), ["A", "b", "C"], ["i", 1, "x"]) == [Member("i", expected)]


@pytest.mark.parametrize(
    ("nulls", "attributes"), [((), {"c": "", "d": "NULL"}), (("",), {"d": "NULL"}), (("", "NULL"), None)]
)
def test_null_is_left_out_and_so_is_text_where_it_means_null(
    nulls: Sequence[str], attributes: dict[str, object] | None
) -> None:
    columns = Columns("a", None, ["b", "c", "d"])
    assert values_of(columns, ["a", "b", "c", "d"], ["i", None, "", "NULL"], nulls=frozenset(nulls)) == [
        Member("i", attributes)
    ]


def test_a_number_is_a_columns_name() -> None:
    columns = Columns(2, 1, [3], 4)
    assert values_of(columns, ["1", "2", "3", "4"], ["add", "a", "x", "t"]) == [
        Change("add", Member("a", {"3": "x"}, ["t"]))
    ]
    assert Columns(1, None, {2: "city"}).attributes == {"2": "city"}
    with pytest.raises(InvalidArgumentError, match="id_column: it is neither text nor a number"):
        Columns(["id"])  # type: ignore[arg-type]  # the fault


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        *((name, True) for name in ("id", "IDS", " custom_id ", "customer_id", "userId", "Install ID", "GA4_id")),
        *((name, False) for name in ("email", "c-1", "x9id", "id;email", "id\temail", "id|x", "", "a@x-id", "i\0d\0")),
    ],
)
def test_what_the_ids_column_is_called(name: str, is_one: bool) -> None:
    assert bool(ID_NAME.fullmatch(name)) is is_one


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
    assert values_of(Columns("i", None, None, "t"), ["i", "t"], ["a", cell]) == [Member("a", None, tags)]


@pytest.mark.parametrize(
    ("cell", "bad"),
    [
        ("[vip]", NO_TAGS),
        ("[" * 100_000, NO_TAGS),
        (7, BadRow("tags of type int are neither a list nor text. Choose another tags_column.")),
    ],
)
def test_invalid_tags_make_a_bad_row(cell: object, bad: BadRow) -> None:
    assert values_of(Columns("i", None, None, "t"), ["i", "t"], ["a", cell], ["b", None]) == [bad, Member("b")]
    actions = Columns("i", "do", None, "t")
    assert values_of(actions, ["i", "t", "do"], ["a", cell, "add"]) == [bad]


@pytest.mark.parametrize(("word", "action"), [("add", "add"), ("Remove", "remove"), (" ADD ", "add")])
def test_an_action_is_add_or_remove(word: str, action: str) -> None:
    (change,) = values_of(Columns("i", "do"), ["i", "do"], [None, word])
    assert isinstance(change, Change)
    assert (change.action, change.value) == (action, None)


@pytest.mark.parametrize("word", ["", "delete", None, 1, ["add"]])
def test_any_other_action_makes_a_bad_row(word: object) -> None:
    assert values_of(Columns("i", "do"), ["i", "do"], ["a", word]) == [BadRow(NO_ACTION)]


@pytest.mark.parametrize(
    ("attribute_columns", "message"),
    [
        ("points", "a single str is not a list of columns"),
        (["a", "a"], "the attribute 'a' is named twice"),
        ({"a": "x", "b": "x"}, "the attribute 'x' is named twice"),
    ],
)
def test_invalid_attribute_columns_are_rejected(attribute_columns: Sequence[str], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Columns("i", None, attribute_columns)


def test_only_the_selected_columns_are_read() -> None:
    assert Columns("i", "do", ["x", "y"], "x").select(["y", "x", "do", "i"], "here").keys == [3, 2, 1, 0]
