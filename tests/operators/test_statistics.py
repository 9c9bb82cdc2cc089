"""The operators that read statistics, against the sandbox."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, ObjectStoragePath

from airflow_provider_batch.exceptions import BatchServerError, InvalidArgumentError, StatisticsMissingError
from airflow_provider_batch.operators.statistics import (
    CampaignStatsOperator,
    OrchestrationStatsOperator,
    TransactionalStatsOperator,
)
from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.worker import Store, clear, next_try

SOON = {"Retry-After": "0"}
TODAY = datetime.now(UTC).date()
DAY = f"{TODAY - timedelta(days=1)}"


@pytest.fixture(autouse=True)
def _fast(batch_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, key in (("DEFAULT", None), ("CEP", "project_sandbox")):
        connection = json.loads(batch_sandbox.connection_json(key))
        connection["extra"] = {"max_attempts": 1, "requests_per_second": 1000, **connection.get("extra", {})}
        monkeypatch.setenv(f"AIRFLOW_CONN_BATCH_{name}", json.dumps(connection))


@pytest.fixture
def tries(context: Any, store: Store) -> Any:
    return {**context, "task_state_store": store}


def orchestrations(path: Any = None, **arguments: Any) -> OrchestrationStatsOperator:
    given = {"since": DAY, "until": DAY, **arguments}
    return OrchestrationStatsOperator(task_id="stats", path=path, batch_conn_id="batch_cep", **given)


def rows(path: Any) -> list[dict[str, Any]]:
    with (gzip.open if str(path).endswith(".gz") else open)(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def asked(sandbox: Sandbox, verb: str) -> int:
    return sum(verb in call.route for call in sandbox.calls)


def what_it_is_of(row: dict[str, Any]) -> tuple[Any, Any, Any]:
    return row["name"], row["date"], row["version"]


def test_without_a_path_the_rows_come_back(batch_sandbox: Sandbox, context: Any) -> None:
    found = orchestrations().execute(context)
    assert list(map(what_it_is_of, found)) == [
        ("Orchestration 3", DAY, None),
        ("Orchestration 2", DAY, None),
        ("Orchestration 1", DAY, None),
        ("Orchestration 1", DAY, "a"),
        ("Orchestration 1", DAY, "b"),
    ]
    summary = context["ti"].pushed["summary"]
    assert summary.pop("seconds") >= 0
    assert summary == {"rows": 5, "orchestrations": 3, "missing": [], "missing_count": 0}


@pytest.mark.parametrize("name", ["day.jsonl.gz", "day.jsonl", "day.ndjson", "day.json.gz", "", "day", "2026-11-25/"])
def test_a_path_is_a_file_or_a_folder_for_one(name: str, context: Any, tmp_path: Path) -> None:
    (path,) = orchestrations(f"{tmp_path}/new/{name}").execute(context)
    expected = tmp_path / "new" / name
    if "." not in name:
        expected /= "orchestration_stats.jsonl.gz"
    assert Path(path.removeprefix("file://")) == expected
    assert names(expected.parent) == [expected.name]
    returned = orchestrations().execute(context)
    assert [row.keys() for row in rows(expected)] == [row.keys() for row in returned]
    # Not the figures, which grow meanwhile.
    assert list(map(what_it_is_of, rows(expected))) == list(map(what_it_is_of, returned))


def test_the_same_day_twice_is_the_same_file(batch_sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    for _ in range(2):
        orchestrations(str(tmp_path)).execute(context)
    assert names(tmp_path) == ["orchestration_stats.jsonl.gz"]
    assert len(rows(tmp_path / "orchestration_stats.jsonl.gz")) == 5


def test_filters_may_be_one_or_several_or_a_text_of_a_list(context: Any) -> None:
    assert {row["type"] for row in orchestrations(type="trigger").execute(context)} == {"trigger"}
    assert {row["type"] for row in orchestrations(type=["trigger", "campaign"]).execute(context)} == {
        *("trigger", "campaign")
    }
    operator = orchestrations(type="{{ type }}", status="{{ status }}", channels="{{ channels }}")
    operator.type, operator.status, operator.channels = "['trigger']", "", "None"
    assert {row["type"] for row in operator.execute(context)} == {"trigger"}


def test_too_many_rows_to_return_are_refused_by_the_name_of_path(
    context: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("airflow_provider_batch.operators.statistics._MOST_ROWS", 4)
    with pytest.raises(AirflowFailException, match="path: there are more than 4 rows"):
        orchestrations().execute(context)
    orchestrations(str(tmp_path)).execute(context)


def first_id(sandbox: Sandbox, context: Any) -> str:
    return str(orchestrations().execute(context)[0]["id"])


@pytest.mark.parametrize("has_path", [True, False])
def test_one_that_is_missing_fails_the_task_after_the_others_were_read(
    has_path: bool, batch_sandbox: Sandbox, tries: Any, store: Store, tmp_path: Path
) -> None:
    missing = first_id(batch_sandbox, tries)
    batch_sandbox.forget_statistics(missing)
    calls = asked(batch_sandbox, "stats")
    with pytest.raises(AirflowFailException, match=f"1 orchestration cannot be read; all others were.*{missing}"):
        orchestrations(str(tmp_path) if has_path else None).execute(tries)
    assert asked(batch_sandbox, "stats") == calls + 3
    assert names(tmp_path) == []


@pytest.mark.parametrize("has_path", [True, False])
def test_one_that_is_missing_may_be_left_out_and_is_in_the_summary(
    has_path: bool, batch_sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    missing = first_id(batch_sandbox, context)
    batch_sandbox.forget_statistics(missing)
    orchestrations(str(tmp_path) if has_path else None, on_missing="skip").execute(context)
    summary = context["ti"].pushed["summary"]
    assert (summary["orchestrations"], summary["rows"], summary["missing_count"]) == (2, 4, 1)
    assert summary["missing"][0]["id"] == missing
    assert "answered 400" in summary["missing"][0]["reason"]


def test_a_retry_goes_on_where_the_try_before_ended(
    batch_sandbox: Sandbox, tries: Any, store: Store, tmp_path: Path
) -> None:
    batch_sandbox.add_orchestrations(57)
    batch_sandbox.faults(*[None] * 41, *[Fault(500)] * 5)
    with pytest.raises(BatchServerError):
        orchestrations(str(tmp_path)).execute(tries)
    assert names(tmp_path) == [f".orchestration_stats.jsonl.gz.{number:06}.tmp" for number in range(2)]
    assert json.loads(store.values["statistics"])["pieces"] == 2
    before = asked(batch_sandbox, "stats")
    assert before == 45
    orchestrations(str(tmp_path)).execute(next_try(tries))
    assert asked(batch_sandbox, "stats") == before + 20
    assert names(tmp_path) == ["orchestration_stats.jsonl.gz"]
    found = rows(tmp_path / "orchestration_stats.jsonl.gz")
    assert [row["name"] for row in found if row["version"] is None] == [
        f"Orchestration {number}" for number in range(60, 0, -1)
    ]
    assert tries["ti"].pushed["summary"]["orchestrations"] == 60
    assert store.values == {}


def test_what_is_missing_for_a_moment_is_read_by_the_retry(batch_sandbox: Sandbox, tries: Any, tmp_path: Path) -> None:
    batch_sandbox.faults(None, Fault(500))
    with pytest.raises(StatisticsMissingError):
        orchestrations(str(tmp_path)).execute(tries)
    assert len(names(tmp_path)) == 1
    before = asked(batch_sandbox, "stats")
    orchestrations(str(tmp_path)).execute(next_try(tries))
    assert asked(batch_sandbox, "stats") == before + 1
    assert len(rows(tmp_path / "orchestration_stats.jsonl.gz")) == 5


@pytest.mark.parametrize("change", ["arguments", "cleared"])
def test_what_is_not_the_same_is_read_from_the_start(
    change: str, batch_sandbox: Sandbox, tries: Any, tmp_path: Path
) -> None:
    batch_sandbox.faults(None, Fault(500))
    with pytest.raises(StatisticsMissingError):
        orchestrations(str(tmp_path)).execute(tries)
    before = asked(batch_sandbox, "stats")
    tries = clear(tries) if change == "cleared" else next_try(tries)
    orchestrations(str(tmp_path), **({"until": f"{TODAY}"} if change == "arguments" else {})).execute(tries)
    assert asked(batch_sandbox, "stats") == before + 3
    assert names(tmp_path) == ["orchestration_stats.jsonl.gz"]


def test_without_a_store_nothing_is_left(batch_sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    batch_sandbox.faults(None, Fault(500))
    with pytest.raises(StatisticsMissingError):
        orchestrations(str(tmp_path)).execute(context)
    assert names(tmp_path) == []


def test_an_earlier_file_stays_until_the_new_one_is_complete(
    batch_sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    orchestrations(str(tmp_path)).execute(context)
    before = (tmp_path / "orchestration_stats.jsonl.gz").read_bytes()
    batch_sandbox.faults(None, None, Fault(401))
    with pytest.raises(AirflowFailException):
        orchestrations(str(tmp_path)).execute(context)
    assert (tmp_path / "orchestration_stats.jsonl.gz").read_bytes() == before
    assert names(tmp_path) == ["orchestration_stats.jsonl.gz"]


def test_campaigns_of_the_older_platform(batch_sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    operator = CampaignStatsOperator(task_id="stats", path=str(tmp_path), since=DAY, until=DAY, live=True)
    operator.execute(context)
    found = rows(tmp_path / "campaign_stats.jsonl.gz")
    assert [(row["name"], row["date"], row["live"]) for row in found] == [
        ("Campaign 3", DAY, True),
        ("Campaign 1", DAY, True),
    ]
    assert context["ti"].pushed["summary"]["campaigns"] == 2


def test_groups_of_transactional_messages(batch_sandbox: Sandbox, context: Any) -> None:
    operator = TransactionalStatsOperator(task_id="stats", group_ids=["welcome", "receipt"], since=DAY, until=DAY)
    assert [row["group_id"] for row in operator.execute(context)] == ["welcome", "receipt"]
    operator.group_ids = '["receipt"]'
    assert [row["group_id"] for row in operator.execute(context)] == ["receipt"]
    operator.group_ids = "receipt"
    with pytest.raises(AirflowFailException, match="group_ids: a single str is not a list"):
        operator.execute(context)


def test_a_dev_key_is_a_permanent_error_that_says_so(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(apps=["DEV-app"]) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        with pytest.raises(AirflowFailException, match="Live API keys only"):
            CampaignStatsOperator(task_id="stats").execute(context)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"on_missing": "ignore"}, "on_missing"),
        ({"live": "yes"}, "live"),
        ({"path_conn_id": "lake"}, "path_conn_id: has no effect without path"),
    ],
)
def test_arguments_are_checked_when_the_file_is_parsed(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        CampaignStatsOperator(task_id="stats", **arguments)


def test_a_day_that_batch_does_not_have_is_a_permanent_error(batch_sandbox: Sandbox, context: Any) -> None:
    with pytest.raises(AirflowFailException, match="the last 6 months only"):
        orchestrations(since="2020-01-01").execute(context)
    assert batch_sandbox.calls == []


def test_s3_gets_a_whole_file(batch_sandbox: Sandbox, tries: Any, s3: Any) -> None:
    path = ObjectStoragePath("s3://aws_default@bucket/stats/")
    batch_sandbox.faults(None, Fault(500))
    with pytest.raises(StatisticsMissingError):
        orchestrations(path).execute(tries)
    (written,) = orchestrations(path).execute(next_try(tries))
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket="bucket")["Contents"]]
    assert keys == ["stats/orchestration_stats.jsonl.gz"]
    content = gzip.decompress(s3.get_object(Bucket="bucket", Key=keys[0])["Body"].read())
    assert len(content.splitlines()) == 5
    assert ObjectStoragePath(written).exists()


def test_pieces_that_another_worker_cannot_see_are_read_again(
    batch_sandbox: Sandbox, tries: Any, tmp_path: Path
) -> None:
    batch_sandbox.faults(None, Fault(500))
    with pytest.raises(StatisticsMissingError):
        orchestrations(str(tmp_path)).execute(tries)
    for piece in tmp_path.iterdir():
        piece.unlink()
    orchestrations(str(tmp_path)).execute(next_try(tries))
    assert len(rows(tmp_path / "orchestration_stats.jsonl.gz")) == 5


@pytest.mark.parametrize("path", ["/data/day", "s3://bucket/{{ ti.map_index }}/"])
def test_mapped_tasks_need_a_path_each(path: str, batch_sandbox: Sandbox, context: Any) -> None:
    with DAG("mapped", schedule=None) as dag:
        OrchestrationStatsOperator.partial(task_id="stats", path=path).expand(batch_conn_id=["batch_cep", "batch_2"])
    context |= {"dag": dag, "task": dag.get_task("stats")}
    context["ti"].map_index = 0
    if "{{" in path:
        orchestrations().execute(context)
    else:
        with pytest.raises(AirflowFailException, match="path: each of these mapped tasks would overwrite"):
            orchestrations().execute(context)
