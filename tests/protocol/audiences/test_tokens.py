from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.audiences.tokens import LAST_WRITE, describe_tokens, read_indexing_tokens


class Lazy(Sequence[list[str]]):
    """The results of mapped tasks, fetched one by one."""

    def __init__(self, *results: list[str]) -> None:
        self.results = results

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: Any) -> Any:
        return self.results[index]


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("t0", ["t0"]),
        (["t0"], ["t0"]),
        (["t1", "t0"], ["t1", "t0"]),
        (("t0", "t1"), ["t0", "t1"]),
        (iter(["t0", "t1"]), ["t0", "t1"]),
        ([["t0"], ["t1", "t2"]], ["t0", "t1", "t2"]),
        (Lazy(["t0"], ["t1", "t2"]), ["t0", "t1", "t2"]),
        (Lazy([], []), []),
        (["t0", "t1", "t0"], ["t0", "t1"]),
        ([["t0"], ["t0"]], ["t0"]),
        ('["t0", "t1"]', ["t0", "t1"]),
        ("['t0', 't1']", ["t0", "t1"]),
        ("[['t0'], ['t1']]", ["t0", "t1"]),
        (" ['t0']\n", ["t0"]),
        ([], []),
        ("[]", []),
        ([[], []], []),
    ],
)
def test_tokens_are_read_each_once_and_in_their_order(value: object, tokens: list[str]) -> None:
    assert read_indexing_tokens(value) == tokens


@pytest.mark.parametrize(
    "value",
    [
        *(None, "None", "", " ", [""], " None ", [None], ["t0", None], [["t0"], None], "[null]", "[None]"),
        *(Lazy(), [["t0"], Lazy()]),  # mapped tasks that have all failed or were skipped
    ],
)
def test_a_missing_xcom_does_not_pass_for_done(value: object) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"^indexing_tokens: a missing XCom is not an indexing token\. Pass the out"
    ):
        read_indexing_tokens(value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        *((text, "this text") for text in ("('t0',)", "{'t0'}", "t0, t1", '"t0"', ["t0", "t 1"])),
        *((number, "a value of type int") for number in (7, [7])),
        *((data, "a value of type bytes") for data in (b"t0", [b"t0"])),
        *((table, "a value of type dict") for table in ({"t0": 1}, [{"t0": 1}])),
        *((True, "a value of type bool"), (1.5, "a value of type float"), (object(), "a value of type object")),
    ],
)
def test_what_is_no_token_is_refused(value: object, kind: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        read_indexing_tokens(value)
    assert str(caught.value) == (
        f"indexing_tokens: {kind} is not an indexing token. Pass the output of the task that pushed the ids."
    )


@pytest.mark.parametrize("value", ["[", "['t0'", "[t0]", "[" * 100_000])
def test_text_that_only_begins_like_a_list_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^indexing_tokens: a single str is not a list"):
        read_indexing_tokens(value)


@pytest.mark.parametrize(
    ("many", "text"),
    [
        (1, "1 indexing token (t0)"),
        (2, "2 indexing tokens (t0, t1)"),
        (5, "5 indexing tokens (t0, t1, t2, t3, t4)"),
        (6, "6 indexing tokens (t0, t1, t2, t3, t4, …)"),
    ],
)
def test_of_many_tokens_the_first_five_are_named(many: int, text: str) -> None:
    assert describe_tokens([f"t{number}" for number in range(many)]) == text


def test_the_last_write_has_no_token_to_name() -> None:
    assert describe_tokens([LAST_WRITE]) == "the last write"
