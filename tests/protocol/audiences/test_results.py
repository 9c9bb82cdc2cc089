"""What a push and a run of a mirror say that they did."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batch.exceptions import TooManyRejectedError
from airflow_provider_batch.protocol.audiences.chunk import Chunks
from airflow_provider_batch.protocol.audiences.results import MirrorResult, PushResult, result_of
from airflow_provider_batch.protocol.audiences.writes import AudienceWrites
from airflow_provider_batch.protocol.dialect import MEP_1_0
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.protocol.writes import Sent

REJECTIONS = (Rejection("ids", 3, "empty", "line 4"), Rejection("ids", 7, "too long"))


def result(**more: Any) -> PushResult:
    given = {"indexing_tokens": ["t1", "t2"], "added": 1000, "removed": 200, "duplicates": 30, "rejected": 4}
    return PushResult("vip", "custom_ids", **{**given, "rejections": REJECTIONS, "seconds": 1.23456, **more})


def test_every_value_is_in_one_of_four_counts() -> None:
    assert (result().given, result().calls) == (1234, 2)


def test_the_summary_has_counts_and_neither_ids_nor_tokens() -> None:
    assert result().summary() == {
        "audience": "vip",
        "type": "custom_ids",
        "added": 1000,
        "removed": 200,
        "duplicates": 30,
        "rejected": 4,
        "rejections": ["ids[3] (line 4): empty", "ids[7]: too long"],
        "calls": 2,
        "seconds": 1.235,
    }


def test_the_counts_are_those_of_the_summary() -> None:
    assert result().counts() == {
        "audience": "vip",
        "type": "custom_ids",
        "added": 1000,
        "removed": 200,
        "duplicates": 30,
        "rejected": 4,
        "calls": 2,
    }


def test_a_dry_run_says_so_and_how_many_calls_it_would_have_made() -> None:
    dry = result(indexing_tokens=[], planned_calls=5)
    assert (dry.summary()["dry_run"], dry.summary()["calls"]) == (True, 5)


def test_the_summary_of_a_mirror_has_more() -> None:
    mirrored = MirrorResult(
        *("vip", "custom_ids", ["t1"], 1, 2, 3, 4, REJECTIONS, 0.5), unchanged=50, members=51, replaced=True
    )
    assert mirrored.given == 1 + 50 + 3 + 4
    assert mirrored.summary() == {
        "audience": "vip",
        "type": "custom_ids",
        "added": 1,
        "removed": 2,
        "duplicates": 3,
        "rejected": 4,
        "rejections": ["ids[3] (line 4): empty", "ids[7]: too long"],
        "calls": 1,
        "seconds": 0.5,
        "unchanged": 50,
        "members": 51,
        "replaced": True,
    }


@pytest.mark.parametrize("max_rejected", [None, 4, 5, 1.0, 0.0033])
def test_so_many_may_be_rejected(max_rejected: float | None) -> None:
    result().check_rejected(max_rejected)


@pytest.mark.parametrize("max_rejected", [0, 3, 0.0, 0.0032])
def test_more_than_so_many_may_not(max_rejected: float) -> None:
    with pytest.raises(TooManyRejectedError) as caught:
        result().check_rejected(max_rejected)
    assert str(caught.value) == (
        f"vip: 4 of 1,234 values were rejected, more than max_rejected={max_rejected}. The others were sent. "
        "The first: ids[3] (line 4): empty"
    )


def test_a_result_sums_up_what_was_given_and_what_was_sent() -> None:
    writes = AudienceWrites(MEP_1_0, "vip", "advertising_ids", 100)
    given = [writes.intake("skip")(["a", "a", None], "add_ids"), writes.intake()(["b", "b"], "remove_ids")]
    chunks = Chunks(*given, size=100)
    list(chunks)
    sent = Sent(1, 2, ("t1", "t2"), REJECTIONS, 1.5, earlier_calls=1, planned_calls=9)
    assert result_of(PushResult, writes, chunks, sent) == PushResult(
        "vip",
        "advertising_ids",
        ["t1", "t2"],
        added=1,
        removed=2,
        duplicates=2,
        rejected=3,
        rejections=(*given[0].rejections, *REJECTIONS),
        seconds=1.5,
        earlier_calls=1,
        planned_calls=9,
        rejected_by_batch=2,
    )
    more = {"unchanged": 3, "members": 4, "replaced": True}
    assert result_of(MirrorResult, writes, chunks, sent, **more).summary().items() >= more.items()


def test_the_first_ten_rejections_are_named() -> None:
    writes = AudienceWrites(MEP_1_0, "vip", "custom_ids", 100)
    chunks = Chunks(writes.intake("skip")([None] * 9, "add_ids"), writes.intake()((), "remove_ids"), size=100)
    list(chunks)
    result = result_of(PushResult, writes, chunks, Sent(rejections=REJECTIONS))
    assert result.rejected == 11
    assert result.rejections == (*chunks.rejections, REJECTIONS[0])
