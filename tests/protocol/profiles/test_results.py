"""What a push of profiles did, in counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_batch.exceptions import TooManyRejectedError
from airflow_provider_batch.protocol.profiles.results import ProfilesMirrorResult, ProfilesResult
from airflow_provider_batch.protocol.rows import Rejection

PUSHED = ProfilesResult(
    batch_conn_id="batch_crm",
    route="update",
    accepted=5,
    duplicates=2,
    rejected=1,
    rejections=(Rejection("profiles", 7, "no id", "line 8"),),
    calls=3,
    seconds=1.23456,
    earlier_calls=1,
)
MIRRORED = ProfilesMirrorResult("batch_crm", "update", 5, 2, 1, (), 3, 0.5, unchanged=4, cleared=6, profiles=9)
COUNTS = {"route": "update", "accepted": 5, "duplicates": 2, "rejected": 1, "calls": 3}


def test_a_summary_has_the_counts_and_the_reasons() -> None:
    assert PUSHED.summary() == {**COUNTS, "rejections": ["profiles[7] (line 8): no id"], "seconds": 1.235}
    assert list(PUSHED.summary())[:2] == ["route", "accepted"]
    assert PUSHED.counts() == COUNTS
    assert (PUSHED.given, PUSHED.name) == (8, "profiles of batch_crm")


def test_a_summary_says_that_nothing_was_sent() -> None:
    assert replace(PUSHED, dry_run=True).counts() == {**COUNTS, "dry_run": True}


def test_a_run_that_compares_counts_what_it_did_not_send_too() -> None:
    more = {"unchanged": 4, "cleared": 6, "profiles": 9}
    assert MIRRORED.summary() == {**COUNTS, "rejections": [], "seconds": 0.5, **more}
    assert MIRRORED.counts() == {**COUNTS, **more}
    assert MIRRORED.given == 12


def test_too_many_rejections_are_an_error_with_the_first() -> None:
    PUSHED.check_rejected(None)
    PUSHED.check_rejected(1)
    PUSHED.check_rejected(0.125)
    with pytest.raises(TooManyRejectedError) as caught:
        PUSHED.check_rejected(0)
    assert str(caught.value) == (
        "profiles of batch_crm: 1 of 8 values were rejected, more than max_rejected=0. The others were sent. "
        "The first: profiles[7] (line 8): no id"
    )
