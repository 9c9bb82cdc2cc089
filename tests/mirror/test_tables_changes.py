"""What a database found changed, in blocks of any size, some of them refused and repeated by the checks."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import InvalidMemberError, SourceError
from airflow_provider_batch.mirror.diff import Counts
from airflow_provider_batch.mirror.tables.changes import ChangedRows, ChangeFiles, Invalid, Kind, kind_of
from airflow_provider_batch.protocol.audiences.intake import MemberIntake
from airflow_provider_batch.protocol.audiences.members import Member
from airflow_provider_batch.protocol.dialect import MEP_1_0
from airflow_provider_batch.sources.columns import Selection

RULES = MEP_1_0.members


def number(times: int, known: int, uncertain: int, op: str) -> int:
    return times * 16 + known * 8 + uncertain * 4 + "+-=!".index(op)


def filled(folder: Path, rows: list[Any], fetched: int, block_size: int) -> ChangeFiles:
    """Settle rows of an id, and the four parts of its kind."""
    rows = [(id_, number(*parts)) for id_, *parts in rows]
    changed, files = ChangedRows(), ChangeFiles(folder)
    changed.open([rows[start : start + fetched] for start in range(0, len(rows), fetched)], Selection(id=0))
    ids = MemberIntake(changed, "ids", name="vip", rules=RULES, block_size=block_size, on_invalid_id="skip")
    files.fill(ids.blocks(), changed, RULES)
    files.close()
    return files


kinds = st.lists(
    st.tuples(st.sampled_from("+++--=!"), st.booleans(), st.booleans(), st.booleans(), st.integers(1, 3)), max_size=60
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=kinds, fetched=st.integers(1, 9), block_size=st.integers(1, 9))
def test_every_row_is_settled_once(kinds: list[Any], fetched: int, block_size: int, tmp_path: Path) -> None:
    rows: list[Any] = []
    for number, (op, is_bad, known, uncertain, times) in enumerate(kinds):
        id_ = f"id-{number:03}" + ("\t" if op == "!" or (op == "+" and is_bad) else "")
        is_old = known and op != "!"
        rows.append((id_, 0 if op == "-" else times, int(is_old or op == "="), int(uncertain and op in "+-"), op))
    files = filled(tmp_path, rows, fetched, block_size)
    good = [row for row in rows if row[4] == "+" and not row[0].endswith("\t")]
    bad = [row for row in rows if row[4] == "+" and row[0].endswith("\t")]
    gone = [row for row in bad if row[2] or row[3]]
    removed = [row for row in rows if row[4] == "-"] + gone
    assert list(files.adds) == [row[0] for row in good]
    assert sorted(files.removes) == sorted(row[0] for row in removed)
    assert {(each.id, each.op) for each in files.invalid} == {(row[0], "-" if row in gone else "!") for row in bad}
    counts = files.counts
    assert (counts.given, counts.adds, counts.removes) == (len(good), len(good), len(removed))
    assert counts.duplicates == sum(row[1] - 1 for row in rows if row in good or row[4] == "=")
    assert files.known_moves == sum(row[2] for row in good + removed)


def test_a_thousand_rows_in_blocks_that_do_not_fit(tmp_path: Path) -> None:
    rows = [(f"id-{number:04}", number % 2, 1 - number % 2, 0, "-+"[number % 2]) for number in range(1000)]
    files = filled(tmp_path, rows, 100, 64)
    assert (files.counts.added, files.counts.removed, files.invalid) == (500, 500, [])
    assert (len(files.adds), len(files.removes)) == (500, 500)


def test_a_valid_id_that_the_database_cannot_hold_is_named(tmp_path: Path) -> None:
    message = (
        r"^the query has an id with more characters than an indexed column of its database can hold\. "
        r"Pass snapshot_path instead of snapshot_schema\.$"
    )
    with pytest.raises(SourceError, match=message):
        filled(tmp_path, [("valid", 1, 0, 0, "!")], 10, 10)


def test_an_invalid_row_is_named_by_its_number_among_those_that_changed() -> None:
    ids = [*(f"id-{place}" for place in range(5)), "in\tvalid"]
    rows: list[Any] = [(id_, number(1, 0, 0, "+")) for id_ in ids]
    changed = ChangedRows()
    changed.open([rows[:2], rows[2:]], Selection(id=0))
    intake = MemberIntake(changed, "ids", name="vip", rules=RULES, block_size=2)
    with pytest.raises(InvalidMemberError, match=r"^vip: ids\[5\] \(changed row 6 of the query\): "):
        list(intake.blocks())


def test_a_kind_is_the_same_as_its_number() -> None:
    kinds = [
        Kind(times, o, u, op) for times in (0, 1, 70_000) for o in (False, True) for u in (False, True) for op in "+-=!"
    ]
    assert [kind_of(number(*kind)) for kind in kinds] == kinds


def test_a_number_may_be_of_a_type_of_the_driver() -> None:
    assert kind_of(Decimal(number(3, 1, 0, "="))) == Kind(3, True, False, "=")


@pytest.mark.parametrize(
    ("kind", "is_valid", "op"),
    [
        (Kind(1, False, False, "+"), True, "+"),
        (Kind(1, False, False, "+"), False, "!"),
        (Kind(1, True, False, "+"), False, "-"),
        (Kind(1, False, True, "+"), False, "-"),
        (Kind(1, True, True, "+"), False, "-"),
        (Kind(1, True, True, "!"), False, "!"),
        (Kind(0, True, True, "-"), False, "-"),
        (Kind(2, True, True, "="), True, "="),
    ],
)
def test_an_id_that_is_not_valid_is_removed_if_it_may_have_been_sent(kind: Kind, is_valid: bool, op: str) -> None:
    assert kind.settled(is_valid) == kind._replace(op=op)


def test_what_is_done_instead_of_adding_an_invalid_id_is_told_with_its_reason(tmp_path: Path) -> None:
    rows = [("a", 1, 0, 0, "+"), ("b\tb", 1, 1, 0, "+"), ("c\tc", 1, 0, 0, "+"), ("d\td", 1, 0, 1, "+")]
    files = filled(tmp_path, [*rows, ("e\te", 1, 0, 0, "!")], 10, 10)
    why = "the id contains a tab. Read the source with the right encoding, or remove the character."
    assert files.invalid == [Invalid("b\tb", "-", why), Invalid("c\tc", "!", why), Invalid("d\td", "-", why)]
    assert (list(files.adds), list(files.removes)) == (["a"], ["b\tb", "d\td"])


def test_an_id_that_the_checks_left_out_for_its_attributes_has_no_reason_of_its_own(tmp_path: Path) -> None:
    changed, files = ChangedRows(), ChangeFiles(tmp_path)
    changed.open([[("a", number(1, 0, 0, "+")), ("b", number(1, 1, 0, "+"))]], Selection(id=0))
    files.fill((["a"] for _ in changed.blocks(10)), changed, RULES)
    assert files.invalid == [Invalid("b", "-", "")]


ROWS: list[Any] = [
    ("withdrawn first", 0, 0, 1, "-"),
    ("gone first", 0, 1, 0, "-"),
    ("new", 1, 0, 0, "+"),
    ("new, unsure, thrice", 3, 0, 1, "+"),
    ("changed", 1, 1, 0, "+"),
    ("changed, twice", 2, 1, 0, "+"),
    ("again, twice", 2, 1, 1, "+"),
    ("again", 1, 1, 1, "+"),
    ("same, four times", 4, 1, 0, "="),
    ("gone", 0, 1, 0, "-"),
    ("gone, unsure", 0, 1, 1, "-"),
    ("withdrawn", 0, 0, 1, "-"),
]
ADDED, REMOVED = [row[0] for row in ROWS if row[4] == "+"], [row[0] for row in ROWS if row[4] == "-"]


@pytest.mark.parametrize("block_size", [1, 2, 3, 100])
def test_ids_are_counted_by_what_is_known_of_them(block_size: int, tmp_path: Path) -> None:
    files = filled(tmp_path, ROWS, 3, block_size)
    assert files.counts == Counts(
        given=6, duplicates=2 + 1 + 1 + 3, added=2, changed=2, resent=2, unchanged=0, removed=3, withdrawn=2
    )
    assert (files.known_moves, files.has_invalid, files.invalid) == (7, False, [])
    assert (list(files.adds), list(files.removes)) == (ADDED, REMOVED)


@pytest.mark.parametrize(("row", "has_invalid"), [(("x\t", 1, 0, 0, "!"), True), (("x\t", 1, 1, 0, "+"), False)])
def test_whether_there_was_an_id_that_is_nowhere(row: Any, has_invalid: bool, tmp_path: Path) -> None:
    assert filled(tmp_path, [row, ("a", 1, 0, 0, "+")], 10, 10).has_invalid is has_invalid


def test_one_digest_stands_for_what_is_added_and_what_is_removed(tmp_path: Path) -> None:
    def digest(rows: list[Any]) -> str:
        files = filled(tmp_path, rows, 10, 10)
        assert len(files.sha256) == 64
        return files.sha256

    added, removed = ("a", 1, 0, 0, "+"), ("a", 0, 1, 0, "-")
    sets: list[list[Any]] = [[], [added], [removed], [added, ("b", 1, 0, 0, "+")], [added, ("b", 0, 1, 0, "-")]]
    assert [digest(rows) for rows in sets] == [digest(rows) for rows in sets]
    assert len({digest(rows) for rows in sets}) == len(sets)


@pytest.mark.parametrize("keeps_rows", [False, True])
def test_blocks_have_their_size_and_each_row_is_given_once(keeps_rows: bool) -> None:
    plus, thrice, gone = number(1, 0, 0, "+"), number(3, 0, 0, "+"), number(0, 1, 0, "-")
    rows: list[Any] = [(id_, kind) for id_, kind in zip("abcdefg", [thrice, thrice, gone, gone] + [plus] * 3)]  # noqa: B905
    changed = ChangedRows()
    changed.open([rows[:1], rows[1:3], rows[3:]], Selection(id=0), has_flags=keeps_rows)
    seen: list[Any] = []
    for block in changed.blocks(2):
        given = changed.given
        seen.append(("".join(map(str, block.values)), "".join(given.ids), changed.others()))
        found = [row for row in rows if row[0] in given.ids]
        assert given.rows == (found if keeps_rows else [])
        assert given.numbers == [kind for _, kind in found]
    removed = Kind(0, True, False, "-")
    assert seen == [
        *(("aa", "a", []), ("a", "a", []), ("bb", "ab", []), ("b", "ab", [])),
        *(("ef", "abef", [(removed, ["c"]), (removed, ["d"])]), ("g", "abefg", [])),
    ]
    changed.given.drop(3)
    assert (changed.given.ids, changed.given.numbers) == (["f", "g"], [plus] * 2)
    assert changed.given.rows == (rows[5:] if keeps_rows else [])


def test_repeated_values_fill_blocks() -> None:
    rows: list[Any] = [(id_, number(3, 0, 0, "+")) for id_ in "abcd"]
    changed = ChangedRows()
    changed.open([rows], Selection(id=0))
    found = [("".join(map(str, block.values)), "".join(changed.given.ids)) for block in changed.blocks(5)]
    assert found == [("aaabb", "ab"), ("bcccd", "abcd"), ("dd", "abcd")]


def test_values_are_read_from_where_the_selection_says() -> None:
    changed = ChangedRows()
    row = ("a", number(1, 0, 0, "+"), "gold", 7)
    changed.open([[row]], Selection(id=0, attributes=((2, "plan"),)))
    (block,) = changed.blocks(10)
    assert list(block.values) == [changed.value(row)] == [Member("a", {"plan": "gold"})]


def test_before_it_is_opened_nothing_is_read() -> None:
    assert list(ChangedRows().blocks(10)) == []
    assert ChangedRows().value(("a", 1)) == "a"


def test_both_files_are_closed_even_if_one_cannot_be_written(tmp_path: Path) -> None:
    files = ChangeFiles(tmp_path)
    closed: list[str] = []

    def fails() -> None:
        closed.append("removes")
        raise OSError

    files.adds.close = lambda: closed.append("adds")  # type: ignore[method-assign]
    files.removes.close = fails  # type: ignore[method-assign]
    with pytest.raises(OSError):  # noqa: PT011
        files.close()
    assert sorted(closed) == ["adds", "removes"]


@pytest.mark.parametrize("block_size", [1, 2, 3, 7])
def test_an_id_that_the_checks_return_repeatedly_is_written_once(block_size: int, tmp_path: Path) -> None:
    rows = [(id_, 3, 0, 0, "+") for id_ in ("a", "b\\c", "é", "d")]
    files = filled(tmp_path, rows, 10, block_size)
    assert list(files.adds) == ["a", "b\\c", "é", "d"]
    assert (files.counts.added, files.counts.duplicates, files.invalid) == (4, 8, [])


def test_an_id_to_remove_has_the_flags_of_what_was_set(tmp_path: Path) -> None:
    gone, refused = number(0, 1, 0, "-"), number(1, 1, 0, "+")
    rows: list[Any] = [(7, gone, None, "a1"), ("b", gone, None, "b1"), ("in\tvalid", refused, None, "c1")]
    rows.append(("same", number(2, 1, 0, "="), None, "d1"))
    changed = ChangedRows()
    for has_flags in (False, True):
        changed.open([rows], Selection(id=0), **({"has_flags": True} if has_flags else {}))
        assert len(list(changed.blocks(10))) == 1
        (removed, kept) = (ids for _, ids in changed.others())
        assert removed == (["7", "b"] if has_flags else [7, "b"])
        assert [getattr(id_, "extras", None) for id_ in removed] == (["a1", "b1"] if has_flags else [None, None])
        assert (kept, type(kept[0])) == (["same"], str)
    files = ChangeFiles(tmp_path)
    changed.given.drop(2)
    changed.open([rows], Selection(id=0), has_flags=True)
    files.fill(iter(list, []) if not list(changed.blocks(10)) else iter(()), changed, RULES)
    files.close()
    found = list(files.removes)
    assert found == ["7", "b", "in\tvalid"]
    assert [getattr(id_, "extras", None) for id_ in found] == ["a1", "b1", "c1"]


def test_what_was_read_ahead_is_settled_with_its_own_block(tmp_path: Path) -> None:
    rows: list[Any] = [(id_, number(1, 1, 0, "+")) for id_ in ("a", "b\tb", "c", "d\td", "e", "f")]
    changed, files = ChangedRows(), ChangeFiles(tmp_path)
    changed.open([rows], Selection(id=0))

    def late() -> Iterator[list[str]]:
        assert len(list(changed.blocks(2))) == 3
        yield ["a", "c"]
        assert [refused.id for refused in files.invalid] == ["b\tb"]
        assert changed.given.ids == ["d\td", "e", "f"]
        yield ["e", "f"]

    files.fill(late(), changed, RULES)
    files.close()
    assert [refused.id for refused in files.invalid] == ["b\tb", "d\td"]
    assert (list(files.adds), list(files.removes)) == (["a", "c", "e", "f"], ["b\tb", "d\td"])
    assert (files.counts.changed, files.counts.removed) == (4, 2)
