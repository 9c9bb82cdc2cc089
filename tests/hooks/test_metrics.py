"""What pushes and waits report to Airflow's metrics: to a double here, and to a real StatsD and OpenTelemetry."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_batch.exceptions import BatchServerError
from airflow_provider_batch.hooks import metrics
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator
from airflow_provider_batch.operators.exports import ProfilesExportOperator
from airflow_provider_batch.operators.statistics import OrchestrationStatsOperator
from airflow_provider_batch.protocol.audiences.results import PushResult
from airflow_provider_batch.protocol.exports.export import ExportQuery
from airflow_provider_batch.protocol.profiles.results import ProfilesResult
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor
from airflow_provider_batch.transport.traffic import Traffic
from airflow_provider_batch.triggers.custom_audience import CustomAudienceIndexingTrigger, IndexingEvent
from airflow_provider_batch.triggers.exports import ProfilesExportTrigger
from tests.docs.pages import DOCS
from tests.real_servers import missing
from tests.transport.servers import Asked, RawServer, answer
from tests.transport.udp import UdpServer

STATS = "airflow.providers.common.compat.sdk.Stats"
TAGS = {"conn_id": "batch_default", "audience": "vip"}
OF_PROFILES = {"conn_id": "batch_cep", "resource": "profiles"}


class Recorder:
    """Airflow's Stats, as far as we call it."""

    def __init__(self) -> None:
        self.metrics: list[tuple[str, str, Any, dict[str, str]]] = []

    def incr(self, stat: str, count: int, *, tags: dict[str, str]) -> None:
        self.metrics.append(("count", stat, count, tags))

    def gauge(self, stat: str, value: float, *, tags: dict[str, str]) -> None:
        self.metrics.append(("gauge", stat, value, tags))

    def timing(self, stat: str, dt: timedelta, *, tags: dict[str, str]) -> None:
        self.metrics.append(("time", stat, dt.total_seconds(), tags))

    def take(self, expected: dict[str, str] = TAGS) -> dict[str, Any]:
        """Return the metrics since the last time, the counts in sums; all with the same tags."""
        taken: dict[str, Any] = {}
        for kind, stat, value, tags in self.metrics:
            assert tags == expected
            name = stat.removeprefix("batch.")
            taken[name] = taken.get(name, 0) + value if kind == "count" else value
        self.metrics.clear()
        return taken


@pytest.fixture
def stats(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(STATS, recorder, raising=False)
    return recorder


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(["vip"], keep_bodies=True) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", connection(sandbox))
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", connection(sandbox, "project_sandbox", platform="cep"))
        yield sandbox


def connection(sandbox: Sandbox, key: str | None = None, **extra: str) -> str:
    return json.dumps({**json.loads(sandbox.connection_json(key)), "extra": {"max_attempts": 2, **extra}})


def ids(**counts: int) -> dict[str, int]:
    names = ("added", "removed", "unchanged", "invalid", "rejected")
    return {f"ids.{name}": counts.get(name, 0) for name in names}


def calls(calls: int, attempts: int | None = None) -> dict[str, float]:
    attempts = calls if attempts is None else attempts
    return {"calls": calls, "attempts": attempts, "rate_limited": 0, "pace_wait": 0.0}


# What is reported


def test_a_push_reports_its_ids_and_its_calls(stats: Recorder, sandbox: Sandbox) -> None:
    BatchHook().update_custom_audience(
        "vip", add_ids=["a", "b", "", "b"], remove_ids=["c"], on_invalid_id="skip", chunk_size=2
    )
    assert stats.take() == ids(added=2, removed=1, invalid=1) | calls(2)


def test_what_batch_rejects_is_told_apart(stats: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    def rejects_bad_ids(call: Asked) -> bytes:
        if call.method == "GET":
            return answer(200, {"custom_audiences": [{"name": "vip"}]})
        return answer(400, {"code": 31}) if b"bad" in call.body else answer(201, {"indexing_token": "token"})

    with RawServer(rejects_bad_ids) as server:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", server.connection_json())
        BatchHook().update_custom_audience(
            "vip", add_ids=["a", "bad", ""], on_invalid_id="skip", on_rejected_chunk="bisect"
        )
    assert stats.take() == ids(added=1, invalid=1, rejected=1) | calls(len(server.asked))


def test_an_attempt_is_counted_for_each_request_and_a_call_once(stats: Recorder, sandbox: Sandbox) -> None:
    sandbox.faults(Fault(429, headers={"Retry-After": "0"}))
    BatchHook().update_custom_audience("vip", add_ids=["a"])
    found = stats.take()
    assert found.pop("pace_wait") >= 0  # the pace has slowed down
    assert found == ids(added=1) | {"calls": 1, "attempts": 2, "rate_limited": 1}


def test_a_push_that_fails_reports_its_calls(stats: Recorder, sandbox: Sandbox) -> None:
    sandbox.faults(Fault(503, headers={"Retry-After": "0"}), Fault(503, headers={"Retry-After": "0"}))
    with pytest.raises(BatchServerError):
        BatchHook().update_custom_audience("vip", add_ids=["a"])
    assert stats.take() == calls(1, attempts=2)


def test_a_mirror_reports_what_it_left_alone_and_nothing_if_it_made_no_call(
    stats: Recorder, sandbox: Sandbox, tmp_path: Path
) -> None:
    hook = BatchHook()
    first = hook.mirror_custom_audience("vip", ["a", "b", "c"], snapshot_path=tmp_path)
    assert stats.take() == ids(added=3) | calls(1)
    hook.confirm_mirror("vip", snapshot_path=tmp_path, indexing_tokens=first.indexing_tokens, nb_ids=3)
    assert stats.take() == {"audience.drift": 0}
    hook.mirror_custom_audience("vip", ["a", "b", "c"], snapshot_path=tmp_path)
    assert stats.take() == ids(unchanged=3)
    hook.mirror_custom_audience("vip", ["a", "d"], snapshot_path=tmp_path)
    assert stats.take() == ids(added=1, removed=2, unchanged=1) | calls(1)


@pytest.mark.parametrize("nb_ids", [1, 5])
def test_a_drift_is_reported_without_a_sign(nb_ids: int, stats: Recorder, sandbox: Sandbox, tmp_path: Path) -> None:
    hook = BatchHook()
    hook.mirror_custom_audience("vip", ["a", "b", "c"], snapshot_path=tmp_path)
    stats.take()
    hook.confirm_mirror("vip", snapshot_path=tmp_path, nb_ids=nb_ids)
    assert stats.take() == {"audience.drift": 2}


def test_a_dry_run_reports_nothing(stats: Recorder, sandbox: Sandbox) -> None:
    BatchHook().update_custom_audience("vip", add_ids=["a"], dry_run=True)
    assert stats.take() == {}


def test_a_wait_reports_how_long_it_took_and_how_many_ids_there_are(stats: Recorder, sandbox: Sandbox) -> None:
    hook = BatchHook()
    tokens = hook.update_custom_audience("vip", add_ids=["a", "b"]).indexing_tokens
    stats.take()
    hook.wait_for_indexing("vip", tokens)
    found = stats.take()
    assert 0 < found.pop("indexing_wait") < 5
    assert found == {"audience.size": 2} | calls(1)


def test_a_push_of_profiles_reports_its_profiles_and_its_calls(stats: Recorder, sandbox: Sandbox) -> None:
    sandbox.faults(Fault(429, headers={"Retry-After": "0"}))
    rows = [{"custom_id": name, "plan": "gold"} for name in ("a", "b", "b", "")]
    BatchHook("batch_cep").update_profiles(rows, on_invalid_id="skip")
    of_profiles = [each for each in stats.metrics if ".profiles." in each[1]]
    stats.metrics = [each for each in stats.metrics if each not in of_profiles]
    found = stats.take(OF_PROFILES)
    assert found.pop("pace_wait") >= 0
    assert found == {"calls": 1, "attempts": 2, "rate_limited": 1}
    stats.metrics = of_profiles
    assert stats.take({"conn_id": "batch_cep"}) == profiles(accepted=2, invalid=1)


def test_profiles_that_batch_rejects_are_told_apart(stats: Recorder, sandbox: Sandbox) -> None:
    rows = [{"custom_id": name, "plan": plan} for name, plan in (("a", "gold"), ("b", "x" * 301), ("", "gold"))]
    result = BatchHook("batch_cep").update_profiles(rows, on_invalid_id="skip")
    assert (result.rejected, result.rejected_by_batch) == (2, 1)
    stats.metrics = [each for each in stats.metrics if ".profiles." in each[1]]
    assert stats.take({"conn_id": "batch_cep"}) == profiles(accepted=1, invalid=1, rejected=1)


def test_a_mirror_of_profiles_reports_what_it_left_alone(stats: Recorder, sandbox: Sandbox, tmp_path: Path) -> None:
    hook = BatchHook("batch_cep")
    for given in (("a", "b"), ("a", "c")):
        stats.metrics.clear()
        rows = [{"custom_id": name, "plan": "gold"} for name in given]
        hook.mirror_profiles(rows, snapshot_path=tmp_path, on_gone="clear")
    stats.metrics = [each for each in stats.metrics if ".profiles." in each[1]]
    assert stats.take({"conn_id": "batch_cep"}) == profiles(accepted=1, cleared=1, unchanged=1)


def profiles(**counts: int) -> dict[str, int]:
    names = ("accepted", "cleared", "unchanged", "invalid", "rejected")
    return {f"profiles.{name}": counts.get(name, 0) for name in names}


def test_a_dry_run_of_profiles_reports_nothing(stats: Recorder, sandbox: Sandbox) -> None:
    BatchHook("batch_cep").update_profiles([{"custom_id": "a", "plan": "gold"}], dry_run=True)
    assert stats.metrics == []


def test_an_export_reports_its_rows_and_how_long_it_took(
    stats: Recorder, sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    sandbox.export_records([{"custom_id": "a"}, {"custom_id": "b"}])
    ProfilesExportOperator(task_id="export", path=str(tmp_path), batch_conn_id="batch_cep").execute(context)
    of_calls = {tags["resource"] for _, stat, _, tags in stats.metrics if stat == "batch.calls"}
    assert of_calls == {"exports"}
    stats.metrics = [each for each in stats.metrics if ".export." in each[1]]
    found = stats.take({"conn_id": "batch_cep", "export_type": "attributes"})
    assert 0 <= found.pop("export.duration") < 60
    assert found == {"export.rows": 2}


def test_statistics_report_their_rows_and_what_is_missing(stats: Recorder, sandbox: Sandbox, context: Any) -> None:
    sandbox.faults(None, None, Fault(400))
    stats_of = OrchestrationStatsOperator(task_id="stats", batch_conn_id="batch_cep", on_missing="skip")
    rows = stats_of.execute(context)
    of_calls = {tags["resource"] for _, stat, _, tags in stats.metrics if stat == "batch.calls"}
    assert of_calls == {"statistics"}
    stats.metrics = [each for each in stats.metrics if ".statistics." in each[1]]
    found = stats.take({"conn_id": "batch_cep", "subject": "orchestrations"})
    assert found == {"statistics.rows": len(rows), "statistics.missing": 1}


@pytest.mark.parametrize("waits", ["operator", "sensor"])
def test_the_polls_of_a_trigger_are_reported_when_the_task_goes_on(
    waits: str, stats: Recorder, sandbox: Sandbox, context: Any
) -> None:
    tokens = BatchHook().update_custom_audience("vip", add_ids=["a"]).indexing_tokens
    stats.take()
    sandbox.faults(Fault(429, headers={"Retry-After": "0"}))
    now = time.time()
    waiting = CustomAudienceIndexingTrigger(
        batch_conn_id="batch_default",
        audience_name="vip",
        indexing_tokens=tokens,
        poke_interval=1.0,
        start_time=now,
        end_time=now + 60,
    )
    event = fired(waiting)
    assert stats.take() == {}
    if waits == "sensor":
        sensor = CustomAudienceIndexingSensor(task_id="wait", audience_name="vip", indexing_tokens=tokens)
        sensor.execute_complete(context, event)
    else:
        push = CustomAudienceUpdateOperator(task_id="push", audience_name="vip", wait_for_indexing=True)
        push.execute_complete(context, event)
    found = stats.take()
    assert found.pop("indexing_wait") >= 0
    assert found == {"audience.size": 1, "calls": 1, "attempts": 2, "rate_limited": 1}


def test_the_polls_of_a_wait_that_fails_are_reported_too(stats: Recorder, sandbox: Sandbox, context: Any) -> None:
    polls = {"calls": 3, "attempts": 5, "rate_limited": 1}
    event = IndexingEvent("error", "vip", ("token",), message="no", polls=polls)
    push = CustomAudienceUpdateOperator(task_id="push", audience_name="vip", wait_for_indexing=True)
    with pytest.raises(AirflowFailException):
        push.execute_complete(context, event.to_payload())
    assert stats.take() == polls


def test_the_polls_of_an_export_are_reported_when_the_task_goes_on(
    stats: Recorder, sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    export_id = BatchHook("batch_cep").request_export(ExportQuery("attributes"))
    stats.metrics.clear()
    now = time.time()
    event = fired(
        ProfilesExportTrigger(
            batch_conn_id="batch_cep", export_id=export_id, poke_interval=1.0, start_time=now, end_time=now + 60
        )
    )
    assert event["polls"] == {"calls": 1, "attempts": 1, "rate_limited": 0}
    operator = ProfilesExportOperator(task_id="export", path=str(tmp_path), batch_conn_id="batch_cep")
    operator.execute_complete(context, event)
    of_exports = {"conn_id": "batch_cep", "resource": "exports"}
    assert stats.metrics[:1] == [("count", "batch.calls", 1, of_exports)]


def fired(waiting: Any) -> dict[str, Any]:
    """The one event of a trigger, through JSON."""

    async def events() -> list[Any]:
        return [event.payload async for event in waiting.run()]

    (payload,) = asyncio.run(events())
    return dict(json.loads(json.dumps(payload)))


def test_a_call_that_belongs_to_no_audience_has_no_such_tag(stats: Recorder, sandbox: Sandbox) -> None:
    assert BatchHook().test_connection()[0]
    assert {tuple(tags) for _, _, _, tags in stats.metrics} == {("conn_id",)}


@pytest.mark.parametrize("deferrable", [True, False])
def test_an_operator_that_waits_reports_it_once(
    deferrable: bool, stats: Recorder, sandbox: Sandbox, context: Any
) -> None:
    CustomAudienceUpdateOperator(
        task_id="push", audience_name="vip", add_ids=["a", "b"], wait_for_indexing=True, deferrable=deferrable
    ).execute(context)
    assert [stat for _, stat, _, _ in stats.metrics].count("batch.indexing_wait") == 1
    found = stats.take()
    assert 0 < found.pop("indexing_wait") < 5
    assert found == {"audience.size": 2} | ids(added=2) | calls(2)


def test_a_deferred_wait_is_reported_when_the_task_goes_on(stats: Recorder, sandbox: Sandbox, context: Any) -> None:
    view = {"name": "vip", "nb_ids": 7, "indexing_state": "APPLIED"}
    event = IndexingEvent("finished", "vip", ("token",), audience=view, counts={}, seconds=42.5).to_payload()
    push = CustomAudienceUpdateOperator(task_id="push", audience_name="vip", wait_for_indexing=True)
    push.execute_complete(context, event)
    assert stats.take() == {"audience.size": 7, "indexing_wait": 42.5}
    sensor = CustomAudienceIndexingSensor(task_id="wait", audience_name="vip", indexing_tokens="token")
    sensor.execute_complete(context, event)
    assert stats.take() == {"audience.size": 7, "indexing_wait": 42.5}
    for name in ("seconds", "polls"):  # as an older triggerer sends it
        event.pop(name)
    sensor.execute_complete(context, event)
    assert stats.take() == {"audience.size": 7}


@pytest.mark.parametrize(("options", "is_timed"), [({}, True), ({"mode": "reschedule"}, False)])
def test_a_sensor_reports_its_wait(
    options: dict[str, Any], is_timed: bool, stats: Recorder, sandbox: Sandbox, context: Any
) -> None:
    tokens = BatchHook().update_custom_audience("vip", add_ids=["a"]).indexing_tokens
    stats.take()
    sensor = CustomAudienceIndexingSensor(task_id="wait", audience_name="vip", indexing_tokens=tokens, **options)
    if sensor.reschedule:
        sensor._indexed(context, sensor.poke(context).xcom_value, None)
    else:
        sensor.execute(context)
    found = stats.take()
    assert ("indexing_wait" in found) is is_timed
    assert found["audience.size"] == 1


def test_every_metric_is_on_its_page(stats: Recorder) -> None:
    traffic = Traffic()
    traffic.attempted(200)
    metrics.report_traffic("batch_default", traffic, audience="vip")
    metrics.report_push("batch_default", PushResult("vip", "custom_ids", [], 0, 0, 0, 0, (), 0.0))
    metrics.report_indexed("batch_default", "vip", 1, 1.0)
    metrics.report_drift("batch_default", "vip", 0)
    found = stats.take()
    metrics.report_profiles_push("batch_cep", ProfilesResult("batch_cep", "update", 0, 0, 0, (), 0, 0.0))
    metrics.report_export("batch_cep", "attributes", 0, 0.0)
    metrics.report_statistics("batch_cep", "campaigns", 0, 0)
    names = {stat.removeprefix("batch.") for _, stat, _, _ in stats.metrics}
    rows = re.findall(r"^\| `batch\.([\w.]+)` \|", (DOCS / "metrics.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted({*found, *names})


def test_whatever_is_wrong_with_the_metrics_the_push_goes_on(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, told: Callable[[], str]
) -> None:
    monkeypatch.setattr(STATS, object(), raising=False)
    assert BatchHook().update_custom_audience("vip", add_ids=["a"]).added == 1
    assert sandbox.members("vip") == {"a"}
    assert "the metric batch.ids.added could not be sent: AttributeError" in told()


# Airflow's real clients, in a process of their own

#: Sets the metrics up as Airflow does in the process of a task, pushes, and ends as Airflow ends that process.
_PROGRAM = """
import os
from inspect import signature
from airflow.providers.common.compat.sdk import Stats
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS
try:
    from airflow.sdk.observability.metrics import stats_utils
except ImportError:
    pass  # before 3.2, the first metric sets them up
else:
    new = "export_legacy_names" in signature(Stats.initialize).parameters
    given = {"export_legacy_names": False} if new else {}
    Stats.initialize(factory=stats_utils.get_stats_factory(*() if new else (Stats,)), **given)
from airflow_provider_batch.hooks.batch import BatchHook
hook = BatchHook()
result = hook.update_custom_audience("vip", add_ids=["member-1", "member-2"], remove_ids=["member-3"])
hook.wait_for_indexing("vip", result.indexing_tokens)
if not AIRFLOW_V_3_1_PLUS:
    os._exit(0)
"""

EXPECTED = {"calls": 2, "attempts": 2, "rate_limited": 0, "ids.added": 2, "ids.removed": 1, "audience.size": 2}


def push(sandbox: Sandbox, **settings: object) -> None:
    """Push in a process with these settings of Airflow's section ``metrics``."""
    env = {f"AIRFLOW__METRICS__{name.upper()}": str(value) for name, value in settings.items()}
    subprocess.run([sys.executable, "-c", _PROGRAM], env=os.environ | env, check=True, timeout=120)


def test_they_arrive_at_a_statsd(sandbox: Sandbox) -> None:
    if not find_spec("statsd"):
        missing("the package statsd is not installed")
    with UdpServer() as server:
        push(sandbox, statsd_on=True, statsd_host="127.0.0.1", statsd_port=server.port, statsd_influxdb_enabled=True)
        lines = server.lines("airflow.batch.")
    tags = ",conn_id=batch_default,audience=vip:"
    assert [line for line in lines if tags not in line] == []
    found = [line.replace(tags, ":").removeprefix("airflow.batch.") for line in lines]
    assert {"ids.added:2|c", "ids.removed:1|c", "ids.unchanged:0|c", "ids.rejected:0|c", "calls:1|c"} <= set(found)
    assert "audience.size:2|g" in found
    (waited,) = (
        re.fullmatch(r"indexing_wait:([\d.]+)\|ms", line) for line in found if line.startswith("indexing_wait")
    )
    assert waited
    assert 0 < float(waited[1]) < 5_000
    assert not any("member" in line for line in lines)


def test_they_arrive_at_a_collector_of_opentelemetry(sandbox: Sandbox) -> None:
    with collector() as (port, received):
        push(
            sandbox,
            otel_on=True,
            otel_host="127.0.0.1",
            otel_port=port,
            otel_ssl_active=False,
            otel_interval_milliseconds=60_000,  # the task ends before
        )
    assert {name: received[name] for name in EXPECTED} == {name: (float(n), TAGS) for name, n in EXPECTED.items()}
    waited, tags = received["indexing_wait"]
    assert 0 < waited < 5_000
    assert tags == TAGS


@contextmanager
def collector() -> Iterator[tuple[int, dict[str, tuple[float, dict[str, str]]]]]:
    """Yield the port of a collector, and what it has received: the last value and the tags of each metric of ours."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    received: dict[str, tuple[float, dict[str, str]]] = {}

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    if metric.name.startswith("airflow.batch."):
                        received[metric.name.removeprefix("airflow.batch.")] = _value(metric)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, received
        finally:
            server.shutdown()
            thread.join()


def _value(metric: Any) -> tuple[float, dict[str, str]]:
    (point,) = getattr(metric, metric.WhichOneof("data")).data_points
    tags = {attribute.key: attribute.value.string_value for attribute in point.attributes}
    if hasattr(point, "sum"):  # a histogram, of one value
        return point.sum, tags
    return float(getattr(point, point.WhichOneof("value"))), tags


def test_a_collector_that_does_not_answer_does_not_hold_a_task_up(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    class Provider:
        flushes = 0

        def force_flush(self) -> None:
            self.flushes += 1
            released.wait(30)
            raise OSError

    class Telemetry:
        provider = Provider()

        def get_meter_provider(self) -> Provider:
            return self.provider

    telemetry = Telemetry()
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", telemetry)
    monkeypatch.setattr(metrics, "_FLUSH_TIMEOUT", 0.01)
    version = "airflow.providers.common.compat.version_compat.AIRFLOW_V_3_1_PLUS"
    monkeypatch.setattr(version, True)
    metrics._flush()
    assert telemetry.provider.flushes == 0
    monkeypatch.setattr(version, False)
    metrics._flush()
    assert telemetry.provider.flushes == 1
    released.set()
