"""The last line of a task's log."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_batch.exceptions import BatchServerError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.operators.custom_audience import (
    CustomAudienceMirrorOperator,
    CustomAudienceReplaceOperator,
    CustomAudienceUpdateOperator,
)
from airflow_provider_batch.operators.exports import ProfilesExportOperator
from airflow_provider_batch.operators.profiles import ProfilesUpdateOperator
from airflow_provider_batch.operators.statistics import OrchestrationStatsOperator
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.tasks.closing import (
    closing_failure,
    closing_line,
    export_line,
    profiles_line,
    statistics_line,
)
from airflow_provider_batch.triggers.custom_audience import IndexingEvent

Said = Callable[[], str]

NOTHING_LEFT = "Nothing is left to do."
VIEW = {"name": "vip", "nb_ids": 54_000, "indexing_state": "APPLIED"}


def summary(**counts: Any) -> dict[str, Any]:
    none = {"added": 0, "removed": 0, "duplicates": 0, "rejected": 0, "rejections": [], "calls": 1, "seconds": 0.84}
    return {"audience": "vip", "type": "custom_ids", **none, **counts}


def closing(waits: bool = True, audience: Any = VIEW, **counts: Any) -> str:
    return closing_line(summary(**counts), audience=audience, waits=waits, seconds=12.4)


def test_it_names_what_was_asked_and_done() -> None:
    assert closing(added=1_000, removed=200, duplicates=3, calls=2) == (
        "vip: 1,203 values given. 1,000 ids added and 200 removed in 2 calls and 0.8 s. Left out: 3 duplicates. "
        f"Batch has indexed this after 12 s, and counts 54,000 ids. {NOTHING_LEFT}"
    )


def test_it_names_what_was_left_out_and_why() -> None:
    given: dict[str, Any] = {"added": 1, "unchanged": 20_000, "duplicates": 1, "rejected": 2, "removed": 7}
    assert closing(**given, rejections=["ids[3]: the id is empty", "ids[4]: the id is empty"]) == (
        "vip: 20,004 values given. 1 id added and 7 removed in 1 call and 0.8 s. Left out: 20,000 unchanged, "
        "1 duplicate, 2 rejected (the first: ids[3]: the id is empty). Batch has indexed this after 12 s, and counts "
        "54,000 ids. Next: Correct the rejected values in the source."
    )


@pytest.mark.parametrize(
    ("counts", "done"),
    [
        ({"calls": 0, "seconds": 0.1}, "vip: 0 values given. Nothing was sent."),
        (
            {"calls": 0, "unchanged": 5},
            "vip: 5 values given. Nothing was sent, as nothing has changed. Left out: 5 unchanged.",
        ),
        (
            {"calls": 1, "unchanged": 5, "replaced": False},
            "vip: 5 values given. Nothing was sent, as nothing has changed. Left out: 5 unchanged.",
        ),
        (
            {"calls": 1, "unchanged": 0, "replaced": True},
            "vip: 0 values given. 0 ids replaced all members in 1 call and 0.8 s.",
        ),
        (
            {"added": 5, "unchanged": 0, "replaced": True},
            "vip: 5 values given. 5 ids replaced all members in 1 call and 0.8 s.",
        ),
    ],
)
def test_what_was_done_may_be_nothing_or_everything(counts: dict[str, Any], done: str) -> None:
    assert closing(audience=None, **counts) == f"{done} {NOTHING_LEFT}"


def test_who_does_not_wait_is_told_to() -> None:
    assert closing(waits=False, audience=None, added=1) == (
        "vip: 1 value given. 1 id added and 0 removed in 1 call and 0.8 s. "
        "Next: Wait until Batch has indexed this, before a campaign uses the audience."
    )
    assert closing(waits=False, audience=None, calls=0).endswith(NOTHING_LEFT)


def test_a_dry_run_is_called_so() -> None:
    assert closing(dry_run=True, audience=None, added=2, removed=1, rejected=1, rejections=["ids[0]: empty"]) == (
        "vip: 4 values given. 2 ids to add and 1 to remove in 1 call; nothing was sent. "
        "Left out: 1 rejected (the first: ids[0]: empty). "
        "Next: Correct the rejected values in the source. Run it without dry_run."
    )


def test_what_is_not_known_is_left_out() -> None:
    counts = {"audience": "vip", "added": 1, "removed": 0, "duplicates": 0, "rejected": 1, "calls": 1}
    view = {"name": "vip", "nb_ids": None}
    assert closing_line(counts, audience=view, waits=True, difference="Batch counts 3 ids too many.") == (
        "vip: 2 values given. 1 id added and 0 removed in 1 call. Left out: 1 rejected. Batch has indexed this. "
        "Next: Batch counts 3 ids too many. Correct the rejected values in the source."
    )


NO_PROFILES = {
    "accepted": 0,
    "duplicates": 0,
    "rejected": 0,
    "rejections": [],
    "calls": 1,
    "seconds": 0.84,
}


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        (
            {
                "accepted": 1_000,
                "duplicates": 3,
                "rejected": 2,
                "rejections": ["profiles[4]: the row has no custom_id."],
            },
            "1,005 rows given. 1,000 profiles accepted in 1 call and 0.8 s. Left out: 3 duplicates, 2 rejected (the "
            "first: profiles[4]: the row has no custom_id). Next: Correct the rejected values in the source.",
        ),
        (
            {"accepted": 1, "unchanged": 20, "cleared": 4},
            "21 rows given. 1 profile accepted and 4 cleared in 1 call and 0.8 s. Left out: 20 unchanged. "
            f"{NOTHING_LEFT}",
        ),
        (
            {"unchanged": 20, "cleared": 0, "calls": 0},
            f"20 rows given. Nothing was sent, as nothing has changed. Left out: 20 unchanged. {NOTHING_LEFT}",
        ),
        ({"calls": 0}, f"0 rows given. Nothing was sent. {NOTHING_LEFT}"),
        (
            {"dry_run": True, "accepted": 2, "cleared": 1, "unchanged": 0},
            "2 rows given. 2 profiles to send and 1 to clear in 1 call; nothing was sent. "
            "Next: Run it without dry_run.",
        ),
    ],
)
def test_a_push_of_profiles_is_told_in_the_same_way(counts: dict[str, Any], line: str) -> None:
    assert profiles_line("profiles of batch_cep", NO_PROFILES | counts) == f"profiles of batch_cep: {line}"


def test_an_export_tells_how_much_is_where() -> None:
    summary = {"rows": 1_200, "bytes": 54_321, "parts": 1, "seconds": 42.04}
    assert export_line("export of events", summary, "/data") == (
        f"export of events: 1,200 rows (54,321 bytes) in 1 file at /data, after 42.0 s. {NOTHING_LEFT}"
    )


def test_statistics_tell_what_was_read_and_what_is_missing() -> None:
    summary: dict[str, Any] = {"rows": 40, "missing": [], "missing_count": 0, "seconds": 3.0}
    assert statistics_line("statistics of campaigns", summary, "12 campaigns", "/data/stats.jsonl") == (
        f"statistics of campaigns: 12 campaigns read. 40 rows written to /data/stats.jsonl, after 3.0 s. {NOTHING_LEFT}"
    )
    missing = {"missing": [{"id": "o1", "reason": "GET /x answered 400. Check it."}], "missing_count": 2}
    assert statistics_line("statistics of campaigns", summary | missing, "12 campaigns", None) == (
        "statistics of campaigns: 12 campaigns read. 40 rows returned, after 3.0 s. Left out: 2 that cannot be read "
        "(the first: GET /x answered 400. Check it). Next: Correct what the summary has as their reasons, then clear "
        "the task."
    )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (BatchServerError("PATCH /x: 503"), "PATCH /x: 503. Next: Airflow tries again, if the task has retries left."),
        (AirflowFailException("stop"), None),
    ],
)
def test_a_failure_is_told_with_what_can_help(
    error: Exception, line: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("test")
    with pytest.raises(type(error)), closing_failure(log, "vip"):
        raise error
    messages = [re.sub(r"after [\d.]+ s", "after N s", record.getMessage()) for record in caplog.records]
    assert messages == ([f"vip: failed after N s: {line}"] if line else [])


# In the log of a task


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(["vip"]) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        yield sandbox


@pytest.fixture
def last(told: Said) -> Said:
    """Return the last line that was logged, as a whole but for its times."""

    def line() -> str:
        lines = [line for line in told().splitlines() if "vip: " in line]
        return re.sub(r"\b\d+(\.\d)? s\b", "N s", "vip: " + lines[-1].partition("vip: ")[2]).partition(" [airflow")[0]

    return line


def test_the_log_of_a_push_ends_so(sandbox: Sandbox, context: Any, last: Said) -> None:
    CustomAudienceUpdateOperator(
        task_id="push", audience_name="vip", add_ids=["a", "b", "b", ""], on_invalid_id="skip"
    ).execute(context)
    assert last() == (
        "vip: 4 values given. 2 ids added and 0 removed in 1 call and N s. Left out: 1 duplicate, 1 rejected (the "
        "first: add_ids[3]: the id is empty. Drop the row). Next: Correct the rejected values in the source. Wait "
        "until Batch has indexed this, before a campaign uses the audience."
    )
    CustomAudienceReplaceOperator(task_id="push", audience_name="vip", ids=["a"], wait_for_indexing=True).execute(
        context
    )
    assert last() == (
        "vip: 1 value given. 1 id added and 0 removed in 1 call and N s. Batch has indexed this after N s, and counts "
        f"1 id. {NOTHING_LEFT}"
    )


def test_the_log_of_a_mirror_ends_with_the_difference(
    sandbox: Sandbox, context: Any, last: Said, tmp_path: Path
) -> None:
    BatchHook().update_custom_audience("vip", add_ids=["z"])
    mirror = CustomAudienceMirrorOperator(task_id="push", audience_name="vip", ids=["a"], snapshot_path=str(tmp_path))
    mirror.execute(context)
    assert last() == (
        "vip: 1 value given. 1 id added and 0 removed in 1 call and N s. Batch has indexed this after N s, and counts "
        "2 ids. Next: Batch counts 2 ids, 1 more than the snapshot: something else added them, they were members "
        "before, or a write whose answer was lost was applied late. To replace all members, pass full_refresh=True."
    )


def test_the_log_of_a_deferred_push_ends_so(context: Any, last: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    push = CustomAudienceUpdateOperator(
        task_id="push",
        audience_name="vip",
        add_ids=["a", ""],
        on_invalid_id="skip",
        wait_for_indexing=True,
        deferrable=True,
    )
    with Sandbox(["vip"], indexing_delay=3600) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        with pytest.raises(TaskDeferred) as deferred:
            push.execute(context)
    counts = deferred.value.trigger.counts
    event = IndexingEvent("finished", "vip", ("token",), audience=VIEW, counts=counts, seconds=42.4)
    last()
    push.execute_complete(context, event.to_payload())
    assert last() == (
        "vip: 2 values given. 1 id added and 0 removed in 1 call and N s. Left out: 1 rejected (the first: "
        "add_ids[1]: the id is empty. Drop the row). Batch has indexed this after N s, and counts 54,000 ids. Next: "
        "Correct the rejected values in the source."
    )


@pytest.mark.parametrize(
    ("status", "end"), [(400, "Next: correct it, then clear the task."), (503, "if the task has retries left.")]
)
def test_the_log_of_a_failed_push_ends_so(status: int, end: str, sandbox: Sandbox, context: Any, last: Said) -> None:
    sandbox.faults(*[Fault(status, headers={"Retry-After": "0"})] * 5)
    with pytest.raises((AirflowFailException, BatchServerError)):
        CustomAudienceUpdateOperator(task_id="push", audience_name="vip", add_ids=["a"]).execute(context)
    line = last()
    assert line.startswith("vip: failed after N s: PATCH /1.0/{api_key}/custom-audience/vip")
    assert line.endswith(end)


# The other tasks end so, too


@pytest.fixture
def end(told: Said) -> Said:
    """Return the last line that was logged about anything but the connection, as a whole but for its times."""

    def line() -> str:
        (*_, last) = (line for line in told().splitlines() if "Nothing is left to do." in line or "Next: " in line)
        begin = re.search(r"(profiles|export|statistics)( of [a-z_]+)?: .*", last)
        assert begin, last
        return re.sub(r"\b\d+(\.\d)? s\b", "N s", begin[0]).partition(" [airflow")[0]

    return line


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        connection = json.loads(sandbox.connection_json("project_sandbox"))
        connection["extra"]["max_attempts"] = 1
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", json.dumps(connection))
        yield sandbox


def test_the_log_of_a_push_of_profiles_ends_so(project: Sandbox, context: Any, end: Said) -> None:
    rows = [{"custom_id": "a", "plan": "gold"}, {"plan": "gold"}]
    push = ProfilesUpdateOperator(task_id="push", batch_conn_id="batch_cep", profiles=rows, on_invalid_id="skip")
    push.execute(context)
    assert end() == (
        "profiles of batch_cep: 2 rows given. 1 profile accepted in 1 call and N s. Left out: 1 rejected (the first: "
        "profiles[1]: the row has no custom_id. Add it, or name the id's column with id_column). Next: Correct the "
        "rejected values in the source."
    )
    project.faults(Fault(503))
    with pytest.raises(BatchServerError):
        push.execute(context)
    assert end().endswith("Next: Airflow tries again, if the task has retries left.")


def test_the_log_of_an_export_ends_so(project: Sandbox, context: Any, end: Said, tmp_path: Path) -> None:
    project.export_records([{"custom_id": "a"}])
    export = ProfilesExportOperator(task_id="export", batch_conn_id="batch_cep", path=str(tmp_path))
    export.execute(context)
    assert end() == (f"export of attributes: 1 row (20 bytes) in 1 file at {tmp_path}, after N s. {NOTHING_LEFT}")
    with pytest.raises(AirflowFailException):
        export.execute(context)
    assert end().endswith("Next: correct it, then clear the task.")


def test_the_log_of_statistics_ends_so(project: Sandbox, context: Any, end: Said) -> None:
    rows = OrchestrationStatsOperator(task_id="stats", batch_conn_id="batch_cep").execute(context)
    assert end() == (
        f"statistics of orchestrations: 3 orchestrations read. {len(rows)} rows returned, after N s. {NOTHING_LEFT}"
    )
    project.faults(Fault(401))
    with pytest.raises(AirflowFailException):
        OrchestrationStatsOperator(task_id="stats", batch_conn_id="batch_cep").execute(context)
    assert end().startswith("statistics: failed after N s: ")
