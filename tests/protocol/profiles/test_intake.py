"""Profiles of any source, with valid and invalid rows among them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from airflow_provider_batch.exceptions import InvalidArgumentError, InvalidMemberError, PushStoppedError
from airflow_provider_batch.protocol.profiles.intake import Places, ProfileIntake
from airflow_provider_batch.protocol.profiles.table import Profile
from airflow_provider_batch.protocol.rows import BadRow, Rejection, Rows


class Source:
    """Rows in blocks of two, each with a place."""

    def __init__(self, *rows: object) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[object]:
        raise AssertionError("a source is read by its blocks")

    def blocks(self, size: int) -> Iterator[Rows]:
        for start in range(0, len(self.rows), 2):
            yield Rows(list(self.rows[start : start + 2]), partial(lambda first, n: f"line {first + n}", start + 1))


def read(profiles: object, **how: Any) -> tuple[ProfileIntake, list[str], Places]:
    """The intake, the ids in the text of its blocks, and their places."""
    intake, places = ProfileIntake(profiles, name="profiles of batch", **how), Places()
    ids: list[str] = []
    for block in intake.blocks():
        places.add(len(ids), block)
        found = [json.loads(line)["identifiers"]["custom_id"] for line in block.text.decode().splitlines()]
        assert found == list(block.ids)
        ids += found
    return intake, ids, places


def row(id_: object, **attributes: object) -> dict[str, object]:
    return {"custom_id": id_, **attributes}


@pytest.mark.parametrize(
    "profiles",
    [
        [row("a"), row("b")],
        (row("a"), row("b")),
        (row(id_) for id_ in "ab"),
        Source(row("a"), row("b")),
        '[{"custom_id": "a"}, {"custom_id": "b"}]',
    ],
    ids=["list", "tuple", "generator", "source", "text"],
)
def test_profiles_of_any_kind_are_read(profiles: object) -> None:
    assert read(profiles)[1] == ["a", "b"]


@pytest.mark.parametrize(
    ("how", "attributes"), [({}, {}), ({"nulls": "keep"}, {}), ({"nulls": "clear"}, {"plan": None})]
)
def test_a_missing_value_is_kept_or_cleared(how: dict[str, Any], attributes: dict[str, object]) -> None:
    (block,) = ProfileIntake([row("a", plan=None)], name="profiles of batch", **how).blocks()
    assert json.loads(block.text)["attributes"] == attributes


def test_a_chosen_column_that_no_row_has_is_told() -> None:
    rows = [row("a", plan="gold"), row("b", city="Paris")]
    assert read(rows, attribute_columns=["plan", "city", "age"])[0].unseen == ["age"]
    assert read(rows)[0].unseen == []


@pytest.mark.parametrize("nothing", [None, [], (), Source()], ids=["none", "list", "tuple", "source"])
def test_nothing_is_nothing(nothing: object) -> None:
    assert read(nothing)[1] == []


def test_the_first_invalid_row_ends_the_reading_with_its_place() -> None:
    source = Source(row("a"), row("b"), row("c"), row("", plan="gold"))
    with pytest.raises(InvalidMemberError) as caught:
        read(source)
    assert str(caught.value) == (
        "profiles of batch: profiles[3] (line 4): the id is empty. Drop the row. Or pass on_invalid_id='skip'."
    )
    assert (caught.value.argument, caught.value.position) == ("profiles", 3)


def test_by_default_the_id_is_in_the_column_custom_id() -> None:
    with pytest.raises(InvalidMemberError) as caught:
        read([{"plan": "gold"}])
    assert caught.value.reason == "the row has no custom_id. Add it, or name the id's column with id_column."


def test_invalid_rows_are_skipped_counted_and_passed_on_wherever_they_stand() -> None:
    rows: list[Any] = [row(f"id-{number}") for number in range(40)]
    bad = {0: "x", 7: row("", plan=1), 8: row("i", plan={"a": 1}), 39: row("j", Plan=1)}
    for position, value in bad.items():
        rows[position] = value
    told: list[tuple[Rejection, object]] = []
    intake, ids, places = read(rows, on_invalid_id="skip", on_rejection=lambda *each: told.append(each))
    assert ids == [f"id-{number}" for number in range(40) if number not in bad]
    assert intake.rejected == 4
    assert [(rejection.position, value) for rejection, value in told] == list(bad.items())
    assert [rejection for rejection, _ in told] == list(intake.rejections)
    assert {places.rejection(number, "no").reason for number in range(36)} == {"no"}
    assert [places.rejection(number, "no").where for number in (0, 5, 6, 35)] == [
        "profiles[1]",
        "profiles[6]",
        "profiles[9]",
        "profiles[38]",
    ]


def test_of_a_skipped_row_the_id_is_known_if_it_is_valid() -> None:
    bad = {"a": {"k": 1}}
    rows = [row("a", **bad), row(7, **bad), Profile("c", bad), row("", **bad), row(None, **bad), row([1], **bad), "e"]
    rows += [{"CUSTOM_ID": "d", **bad}, {"custom_id ": "f", "Custom_id": "f", **bad}, BadRow("cut short"), row("g")]
    intake, ids, _ = read(rows, on_invalid_id="skip")
    assert (ids, intake.skipped_ids) == (["g"], {"a", "7", "c", "d"})


def test_a_source_names_the_places_of_its_rows() -> None:
    _, ids, places = read(Source(row("a"), "bad", row("b"), row("c"), row("d")), on_invalid_id="skip")
    assert ids == ["a", "b", "c", "d"]
    assert [places.rejection(number, "no").where for number in range(4)] == [
        "profiles[0] (line 1)",
        "profiles[2] (line 3)",
        "profiles[3] (line 4)",
        "profiles[4] (line 5)",
    ]


def test_a_list_is_encoded_ten_thousand_rows_at_once() -> None:
    rows = [row(str(number)) for number in range(10_001)]
    blocks = ProfileIntake(rows, name="profiles of batch").blocks()
    assert [(block.start, len(block.ids)) for block in blocks] == [(0, 10_000), (10_000, 1)]


def test_the_keys_of_all_blocks_are_known_and_those_of_each_column() -> None:
    source = Source(row("a", plan="gold", date__last=None), row("b", Age=7), row("c", city="Paris"))
    intake, _, _ = read(source, attribute_columns={"plan": "tier", "Age": "age", "city": "date__city"})
    assert intake.keys == {"tier", "age", "date__city"}
    assert (intake.key_of("plan"), intake.key_of("city")) == ("tier", "date__city")
    plain, _, _ = read(Source(row("a", plan="gold", date__last=None), row("b"), row("c", city="Paris")))
    assert plain.keys == {"plan", "city"}
    assert plain.key_of("date__last") == "date(last)"


def test_a_source_may_have_columns_of_its_own() -> None:
    class Query(Source):
        columns = ("custom_id",)

    assert read(Query(row("a")))[1] == ["a"]


def test_half_a_character_is_found_in_its_row_and_not_quoted() -> None:
    with pytest.raises(InvalidMemberError) as caught:
        read([row("a"), row("b", plan="secret \ud800")])
    assert "profiles[1]: an attribute has a lone surrogate" in str(caught.value)
    assert "secret" not in repr(caught.value) + repr(caught.value.__context__)


@pytest.mark.parametrize(
    ("profiles", "reason"),
    [
        (row("a"), "profiles: a single dict is not a list of profiles"),
        (7, "profiles: int is not a list"),
        ("a", "profiles: a single str is not a list"),
        (b"a", "profiles: bytes are not a list"),
        (type("Frame", (list,), {"columns": ["a"]})(), "to_dict"),
    ],
    ids=repr,
)
def test_what_holds_no_rows_is_refused(profiles: object, reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        read(profiles)


@pytest.mark.parametrize("how", [{"nulls": "drop"}, {"on_invalid_id": "drop"}])
def test_words_are_checked(how: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="'drop' is not"):
        read([], **how)


def test_a_checkpoint_ends_the_reading() -> None:
    def stopped() -> None:
        raise PushStoppedError("stopped before the next call")

    with pytest.raises(PushStoppedError):
        read([row("a")], checkpoint=stopped)
