from __future__ import annotations

from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.rows import Rejection


def test_what_is_left_of_a_block_keeps_its_places() -> None:
    block = Block(["a", "b", "c"], "remove_ids", [3, 5, 9], "line {}".format, annotated=True, plain=True)
    left = block.only(lambda id_: id_ != "b")
    assert (list(left), list(left.positions), left.removes, left.annotated, left.plain) == (
        ["a", "c"],
        [3, 9],
        True,
        True,
        True,
    )
    assert left.rejection(1, "no") == Rejection("remove_ids", 9, "no", "line 9")


def test_a_plain_list_has_no_places() -> None:
    block = Block(["a", "b"], "add_ids", range(2))
    assert (block.removes, block.rejection(1, "no")) == (False, Rejection("add_ids", 1, "no"))
