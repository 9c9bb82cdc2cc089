"""The table of parameters and modes in the documentation."""

from __future__ import annotations

from parameter_table import BEGIN, page, table

from tests.docs.pages import DOCS


def test_the_page_has_the_table_of_today() -> None:
    text = (DOCS / "parameters.md").read_text("utf-8")
    assert text.count(BEGIN) == 1
    assert page(text) == text, "run: make parameters"


def test_each_mode_has_its_mark() -> None:
    rows = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[3:9]] for line in table().splitlines()
    }
    assert rows["`max_shrink`"] == ["", "", "", "✓", "✓", ""]
    assert rows["`on_drift`"] == ["", "", "", "", "(✓)", "`wait_for_indexing=True`"]
    assert rows["`poke_interval`"] == ["(✓)", "(✓)", "(✓)", "✓", "✓", "`wait_for_indexing=True`"]
    assert rows["`chunk_size`"] == ["✓", "✓", "✓", "✓", "✓", ""]
