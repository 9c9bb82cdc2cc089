"""What every argument is made of."""

from __future__ import annotations

from airflow_provider_batch.protocol.rows import in_blocks


def test_values_are_cut_into_blocks_with_the_rest_at_the_end() -> None:
    assert list(in_blocks("abcdefg", 3)) == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    assert list(in_blocks([], 3)) == []
