"""What a database found changed, in blocks of any size, some of them refused and repeated by the checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import InvalidMemberError, SourceError
from airflow_provider_batch.mirror.tables.changes import ChangedRows, ChangeFiles, Kind, kind_of
from airflow_provider_batch.protocol.audiences.intake import MemberIntake
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
    assert {(each.id, each.op) for each in files.refused} == {(row[0], "-" if row in gone else "!") for row in bad}
    counts = files.counts
    assert (counts.given, counts.adds, counts.removes) == (len(good), len(good), len(removed))
    assert counts.duplicates == sum(row[1] - 1 for row in rows if row in good or row[4] == "=")
    assert files.known_moves == sum(row[2] for row in good + removed)


def test_a_thousand_rows_in_blocks_that_do_not_fit(tmp_path: Path) -> None:
    rows = [(f"id-{number:04}", number % 2, 1 - number % 2, 0, "-+"[number % 2]) for number in range(1000)]
    files = filled(tmp_path, rows, 100, 64)
    assert (files.counts.added, files.counts.removed, files.refused) == (500, 500, [])
    assert (len(files.adds), len(files.removes)) == (500, 500)


def test_a_valid_id_that_the_database_cannot_hold_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="more characters than an indexed column of its database can hold"):
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
