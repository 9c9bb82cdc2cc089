"""The table of parameters and modes in the documentation."""

from __future__ import annotations

from parameter_table import BEGIN, BEGIN_PROFILES, page, table

from airflow_provider_batch.transfers.sql_to_profiles import SqlToProfilesOperator
from tests.docs.pages import DOCS


def test_the_page_has_the_table_of_today() -> None:
    text = (DOCS / "parameters.md").read_text("utf-8")
    assert text.count(BEGIN) == text.count(BEGIN_PROFILES) == 1
    assert page(text) == text, "run: make parameters"


def test_each_mode_has_its_mark() -> None:
    rows = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[3:9]] for line in table().splitlines()
    }
    assert rows["`max_shrink`"] == ["", "", "", "✓", "✓", ""]
    assert rows["`on_drift`"] == ["", "", "", "", "(✓)", "`wait_for_indexing=True`"]
    assert rows["`poke_interval`"] == ["(✓)", "(✓)", "(✓)", "✓", "✓", "`wait_for_indexing=True`"]
    assert rows["`chunk_size`"] == ["✓", "✓", "✓", "✓", "✓", ""]


def test_the_modes_of_profiles_have_their_marks() -> None:
    lines = table(SqlToProfilesOperator).splitlines()
    rows = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[3:6]] for line in lines}
    assert rows["parameter"] == ["`update`", "`changed`", "if"]
    assert rows["`on_gone`"] == rows["`max_shrink`"] == ["", "✓", ""]
    assert rows["`rejects_path`"] == rows["`nulls`"] == ["✓", "✓", ""]
