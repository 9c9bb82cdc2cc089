"""Parameters of tasks, as a DAG file, its ``default_args`` and a type checker see them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator, BaseSensorOperator, TaskGroup

from airflow_provider_batch.decorators.custom_audience import CustomAudienceDecoratedOperator, custom_audience_task
from airflow_provider_batch.decorators.profiles import ProfilesDecoratedOperator
from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.operators.custom_audience import (
    CustomAudienceCreateOperator,
    CustomAudienceDeleteOperator,
    CustomAudienceListOperator,
    CustomAudienceMirrorOperator,
    CustomAudienceReplaceOperator,
    CustomAudienceUpdateOperator,
)
from airflow_provider_batch.operators.exports import ProfilesExportOperator
from airflow_provider_batch.operators.profiles import ProfilesUpdateOperator
from airflow_provider_batch.operators.statistics import (
    CampaignStatsOperator,
    OrchestrationStatsOperator,
    TransactionalStatsOperator,
)
from airflow_provider_batch.protocol.arguments import CHOICES
from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor
from airflow_provider_batch.sources.files import FORMATS
from airflow_provider_batch.tasks.airflow_arguments import AirflowArguments, SensorArguments
from airflow_provider_batch.tasks.parameters import CHECKS, USES
from airflow_provider_batch.transfers.files_to_custom_audience import FilesToCustomAudienceOperator
from airflow_provider_batch.transfers.files_to_profiles import FilesToProfilesOperator
from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator
from airflow_provider_batch.transfers.sql_to_profiles import SqlToProfilesOperator

Make = Callable[..., Any]


def update(**arguments: Any) -> CustomAudienceUpdateOperator:
    return CustomAudienceUpdateOperator(task_id="push", audience_name="vip", **arguments)


def replace(**arguments: Any) -> CustomAudienceReplaceOperator:
    return CustomAudienceReplaceOperator(task_id="push", audience_name="vip", ids=[], **arguments)


def mirror(**arguments: Any) -> CustomAudienceMirrorOperator:
    return CustomAudienceMirrorOperator(task_id="push", audience_name="vip", ids=[], snapshot_path="/x", **arguments)


def sql(**arguments: Any) -> SqlToCustomAudienceOperator:
    return SqlToCustomAudienceOperator(task_id="push", audience_name="vip", sql="", conn_id="db", **arguments)


def files(**arguments: Any) -> FilesToCustomAudienceOperator:
    return FilesToCustomAudienceOperator(task_id="push", audience_name="vip", path="/x", **arguments)


def create(**arguments: Any) -> CustomAudienceCreateOperator:
    return CustomAudienceCreateOperator(task_id="push", audience_name="vip", **arguments)


def delete(**arguments: Any) -> CustomAudienceDeleteOperator:
    return CustomAudienceDeleteOperator(task_id="push", audience_name="vip", **arguments)


def profiles(**arguments: Any) -> ProfilesUpdateOperator:
    return ProfilesUpdateOperator(task_id="push", profiles=[], **arguments)


def profiles_one_by_one(**arguments: Any) -> ProfilesUpdateOperator:
    return profiles(route="update", **arguments)


def dag(**arguments: Any) -> DAG:
    return DAG("parameters", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None, **arguments)


# What a parameter is for

#: A value of each parameter that is not the default.
OTHER: dict[str, Any] = {
    "action_column": "op",
    "allow_empty": True,
    "max_shrink": 0.5,
    "snapshot_path": "/x",
    "snapshot_schema": "analytics_batch",
    "keep_changes": 30,
    "first_run": "replace",
    "full_refresh": True,
    "is_sorted": True,
    "max_changes": 7,
    "on_drift": "fail",
    "rejects_path": "/rejects.jsonl",
    "max_rejected": 1,
    "deferrable": True,
    "poke_interval": 3,
    "indexing_timeout": timedelta(minutes=1),
    "header": False,
    "delimiter": ";",
    "encoding": "latin-1",
}
#: What each mode needs.
NEEDED = {"actions": {"action_column": "op"}, "mirror": {"snapshot_path": "/x"}}
#: What the parameter needs beside the mode.
BESIDE: dict[str, dict[str, Any]] = {
    "rejects_path": {"on_invalid_id": "skip"},
    "max_rejected": {"on_rejected_chunk": "bisect"},
    "deferrable": {"wait_for_indexing": True},
}
#: The modes in which a query has a use for it.
MODES = {
    name: [mode for mode in use["mode"] if mode in CHOICES["mode"]]  # the others are of profiles
    for names, use in USES
    if "mode" in use and len(use) == 1
    for name in names
}
MODES |= {key: ["replace", "mirror"] for key in ("allow_empty", "poke_interval", "indexing_timeout")}


def test_each_parameter_of_the_table_is_tried() -> None:
    assert OTHER.keys() == {name for names, _ in USES for name in names} - {"on_gone"}


@pytest.mark.parametrize("mode", CHOICES["mode"])
@pytest.mark.parametrize("name", [name for name in OTHER if name not in ("header", "delimiter", "encoding")])
def test_a_value_with_an_effect_is_taken_and_another_is_refused(name: str, mode: str) -> None:
    needed = NEEDED.get(mode, {})
    if name in ("snapshot_schema", "keep_changes") and mode == "mirror":
        needed = {"snapshot_schema": "analytics_batch"}
    arguments = {"mode": mode, **needed, **BESIDE.get(name, {}), name: OTHER[name]}
    modes = MODES.get(name, CHOICES["mode"])
    if mode in modes:
        assert getattr(sql(**arguments), name) in (OTHER[name], 60.0)
        return
    with pytest.raises(InvalidArgumentError) as caught:
        sql(**arguments)
    begin = f"{name}: {OTHER[name]!r} has no effect with "
    assert str(caught.value).startswith(begin)
    assert f"mode={mode!r}" in str(caught.value)
    assert all(f"mode={each!r}" in str(caught.value) for each in modes)
    assert str(caught.value).endswith("mode.")


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (
            sql,
            {"max_shrink": 0.5},
            "mode='add', only with mode='replace' or mode='mirror'. Drop it, or change mode.",
        ),
        (sql, {"mode": "replace", "max_changes": "{{ params.most }}"}, "mode='replace', only with mode='mirror'."),
        (replace, {"first_run": "replace"}, "mode='replace', only with mode='mirror'. Drop it."),
        (
            update,
            {"max_rejected": 0},
            "max_rejected: 0 has no effect with on_invalid_id='fail' and on_rejected_chunk='fail', only with "
            "on_invalid_id='skip' or on_rejected_chunk='bisect'. Drop it, or change on_invalid_id or on_rejected",
        ),
        (sql, {"rejects_path": "/x"}, "only with on_invalid_id='skip' or on_rejected_chunk='bisect'."),
        (update, {"deferrable": True}, "wait_for_indexing=False, only with wait_for_indexing=True."),
        (update, {"poke_interval": 3}, "wait_for_indexing=False, only with wait_for_indexing=True."),
        (mirror, {"wait_for_indexing": False, "on_drift": "fail"}, "on_drift: 'fail' has no effect with wait_for"),
        (files, {"format": "jsonl", "header": False}, "format='jsonl', only with format=None or format='csv'."),
        (
            files,
            {"format": "parquet", "encoding": "latin-1"},
            "'latin-1' has no effect with format='parquet'",
        ),
        (sql, {"mode": "mirror"}, "snapshot_path: mode='mirror' needs one. Pass snapshot_path or snapshot_schema."),
        (files, {"mode": "mirror"}, "snapshot_path: mode='mirror' needs one. Pass snapshot_path."),
        (
            sql,
            {"mode": "mirror", "snapshot_path": "/x", "snapshot_schema": "s"},
            "snapshot_schema: passed together with snapshot_path. Pass one of them.",
        ),
        (
            sql,
            {"mode": "mirror", "snapshot_schema": "s", "is_sorted": True},
            "is_sorted: has no effect with snapshot_schema; the database sorts. Drop it.",
        ),
        (
            sql,
            {"mode": "mirror", "snapshot_schema": "s", "trim_ids": True},
            "trim_ids: has no effect with snapshot_schema; trim them in the query. Drop it.",
        ),
        (
            sql,
            {"mode": "mirror", "snapshot_path": "/x", "keep_changes": 3},
            "keep_changes: has no effect without snapshot_schema. Drop it.",
        ),
        (
            sql,
            {"mode": "mirror", "snapshot_schema": "s", "keep_changes": -1},
            "keep_changes: -1 is not a number of days. Pass an int, 0 for none.",
        ),
        (sql, {"mode": "actions"}, "action_column: mode='actions' needs one. Pass action_column."),
    ],
)
def test_what_has_no_effect_or_is_missing_is_named(make: Make, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(message)):
        make(**arguments)


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (files, {"allow_empty": True}),  # files without a byte
        (files, {"header": False}),
        (files, {"format": "txt", "encoding": "latin-1"}),
        (sql, {"mode": "replace", "max_shrink": "{{ params.most }}", "full_refresh": False}),
        (sql, {"wait_for_indexing": True, "poke_interval": 3, "indexing_timeout": 60, "deferrable": True}),
        (update, {"on_invalid_id": "skip", "max_rejected": 0.5}),
        (mirror, {"on_drift": "fail", "deferrable": True}),
    ],
)
def test_what_has_one_is_taken(make: Make, arguments: dict[str, Any]) -> None:
    operator = make(**arguments)
    assert {name: getattr(operator, name) for name in arguments} == arguments


# Checked when the DAG file is parsed


@pytest.mark.parametrize(
    ("make", "name", "value", "message"),
    [
        (update, "chunk_size", 20_000, "20000 is not an integer from 1 to 10,000"),
        (update, "chunk_size", "100", "'100' is not an integer"),
        (update, "max_concurrency", 65, "65 is not an integer from 1 to 64"),
        (update, "on_invalid_id", "ignore", "'ignore' is not 'fail' or 'skip'"),
        (update, "on_rejected_chunk", "split", "'split' is not 'fail' or 'bisect'"),
        (update, "max_rejected", 1.5, "1.5 is neither a count nor a share from 0.0 to 1.0"),
        (update, "mapped_by", "ids", "'ids' is not 'id' or 'audience'"),
        (update, "skip_on_empty", "False", "'False' is neither True nor False"),
        (update, "create_if_missing", None, "None is neither True nor False"),
        (update, "wait_for_indexing", 1, "1 is neither True nor False"),
        (update, "deferrable", "yes", "'yes' is neither True nor False"),
        (update, "dry_run", "{{ params.dry }}", "is neither True nor False"),
        (update, "poke_interval", 0, "0 is not a duration"),
        (update, "indexing_timeout", "1h", "'1h' is not a duration"),
        (sql, "mode", "upsert", "'upsert' is not one of add, remove, actions, replace, mirror"),
        (sql, "mode", "reschedule", "'reschedule' is not one of"),
        (replace, "max_shrink", {}, "{} is neither a count nor a share"),
        (replace, "max_shrink", "half", "'half' is neither a count nor a share"),
        (replace, "allow_empty", "perhaps", "'perhaps' is neither True nor False"),
        (mirror, "max_changes", True, "True is neither a count nor a share"),
        (mirror, "full_refresh", 3, "3 is neither True nor False"),
        (mirror, "first_run", "remove", "'remove' is not 'add' or 'replace'"),
        (mirror, "on_drift", "cry", "'cry' is not one of warn, fail, ignore"),
        (mirror, "is_sorted", "yes", "'yes' is neither True nor False"),
        (sql, "attribute_columns", "plan", "a single str is not a list of columns"),
        (sql, "attribute_columns", {"a": "plan", "b": "plan"}, "the attribute 'plan' is named twice"),
        (files, "format", "xlsx", "'xlsx' is not one of txt, csv, jsonl, parquet"),
        (files, "header", "no", "'no' is neither True nor False"),
        (files, "delimiter", ";;", "';;' is not valid"),
        (files, "encoding", "klingon", "'klingon' is not a text encoding"),
        (profiles, "chunk_size", 10_001, "10001 is not an integer from 1 to 10,000"),
        (profiles_one_by_one, "chunk_size", 201, "201 is not an integer from 1 to 200"),
        (profiles, "attribute_columns", {"a": "no name!"}, "'no name!'"),
        (profiles, "attribute_columns", ["Plan"], "attribute 'Plan'"),
        (create, "if_exists", "replace", "'replace' is not 'skip' or 'fail'"),
        (delete, "if_missing", "ignore", "'ignore' is not 'skip' or 'fail'"),
    ],
)
def test_a_wrong_value_fails_the_dag_file(make: Make, name: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{name}: .*{re.escape(message)}"):
        make(**{name: value})


def test_every_check_is_of_a_parameter_and_every_format_has_a_reader() -> None:
    shown = {name for make in OPERATORS for name in inspect.signature(make).parameters}
    assert CHECKS.keys() - shown == set()
    assert tuple(FORMATS) == CHOICES["format"]


@pytest.mark.parametrize("make", [update, replace, mirror, sql, files, create, delete])
def test_an_unknown_name_is_refused(make: Make) -> None:
    with pytest.raises(Exception, match="bogus"):
        make(bogus=1)


# Mapped tasks, which are constructed when they run


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"chunk_size": 20_000}, InvalidArgumentError, "chunk_size: 20000"),
        ({"mode": "add", "max_shrink": 0.5}, InvalidArgumentError, "max_shrink: 0.5 has no effect with mode='add'"),
        ({"bogus": 1}, TypeError, "unexpected keyword argument 'bogus'"),
    ],
)
def test_what_mapped_tasks_share_is_checked_at_once(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message), dag():
        SqlToCustomAudienceOperator.partial(task_id="push", audience_name="vip", conn_id="db", **arguments)


def test_what_the_mapping_or_the_dag_may_decide_is_not_refused_before() -> None:
    with dag():
        shared: dict[str, Any] = {"task_id": "push", "audience_name": "vip", "conn_id": "db", "max_shrink": 0.5}
        SqlToCustomAudienceOperator.partial(**shared, deferrable=True).expand(
            sql=["a", "b"], mode=["replace", "mirror"]
        )


@pytest.mark.parametrize("arguments", [{"chunk_size": 0}, {"mode": "add", "first_run": "replace"}])
def test_a_decorated_function_is_checked_where_it_stands(arguments: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        custom_audience_task(audience_name="vip", **arguments)


# default_args


def of_a_dag(defaults: dict[str, Any], **arguments: Any) -> Any:
    with dag(default_args=defaults):
        return sql(**arguments)


def of_a_group(defaults: Any, **arguments: Any) -> Any:
    with dag(), TaskGroup("group", default_args=defaults):
        return sql(**arguments)


def of_a_task(defaults: dict[str, Any], **arguments: Any) -> Any:
    return sql(default_args=defaults, **arguments)


def of_a_mapped_task(defaults: dict[str, Any], **arguments: Any) -> Any:
    with dag(default_args=defaults):
        partial = SqlToCustomAudienceOperator.partial(task_id="push", audience_name="vip", conn_id="db", **arguments)
        mapped: Any = partial.expand(sql=["a", "b"])
    return mapped.unmap({"sql": "a"})


@pytest.mark.parametrize("make", [of_a_dag, of_a_group, of_a_task, of_a_mapped_task])
def test_what_comes_from_default_args_reaches_the_task_where_it_has_an_effect(make: Make) -> None:
    defaults = {"mode": "mirror", "snapshot_path": "/x", "max_shrink": 0.5, "chunk_size": 7, "on_drift": "fail"}
    operator = make(defaults)
    assert (operator.mode, operator.max_shrink, operator.chunk_size) == ("mirror", 0.5, 7)
    assert (operator.on_drift, operator.wait_for_indexing) == ("fail", True)
    operator = make(defaults, mode="add")
    assert (operator.mode, operator.max_shrink, operator.chunk_size) == ("add", None, 7)
    assert (operator.on_drift, operator.snapshot_path, operator.wait_for_indexing) == ("warn", None, False)


@pytest.mark.parametrize("make", [of_a_dag, of_a_group, of_a_task, of_a_mapped_task])
def test_the_sensors_mode_is_not_that_of_a_transfer(make: Make) -> None:
    assert make({"mode": "reschedule", "poke_interval": 60, "retries": 3}).mode == "add"
    assert make({"mode": "poke"}, mode="replace").mode == "replace"
    with pytest.raises(InvalidArgumentError, match="mode: 'miror' is not one of"):
        make({"mode": "miror"})


@pytest.mark.parametrize("mode", ["mirror", "changed", "update"])
def test_the_transfers_mode_is_not_that_of_a_sensor(mode: str) -> None:
    with dag(default_args={"mode": mode, "snapshot_path": "/x"}):
        sensor = CustomAudienceIndexingSensor(task_id="indexed", audience_name="vip", indexing_tokens=[])
    assert sensor.mode == "poke"
    with dag(default_args={"mode": "reschedule"}):
        sensor = CustomAudienceIndexingSensor(task_id="indexed", audience_name="vip", indexing_tokens=[])
    assert sensor.mode == "reschedule"


@pytest.mark.parametrize(
    ("mode", "of_members", "of_profiles"),
    [("mirror", "mirror", "update"), ("changed", "add", "changed"), ("update", "add", "update")],
)
def test_a_mode_of_default_args_is_for_the_tasks_that_have_it(mode: str, of_members: str, of_profiles: str) -> None:
    with dag(default_args={"mode": mode, "snapshot_path": "/x"}):
        members = CustomAudienceUpdateOperator(task_id="members", audience_name="vip", add_ids=["a"])
        query = SqlToCustomAudienceOperator(task_id="query", sql="SELECT 1", conn_id="db", audience_name="vip")
        profiles = ProfilesUpdateOperator(task_id="profiles", profiles=[])
    assert not hasattr(members, "snapshot_path")
    assert (query.mode, query.snapshot_path) == (of_members, "/x" if of_members == "mirror" else None)
    assert (profiles.mode, profiles.snapshot_path) == (of_profiles, "/x" if of_profiles == "changed" else None)


def test_profiles_have_no_log_of_changes() -> None:
    arguments: dict[str, Any] = {
        "sql": "SELECT 1",
        "conn_id": "db",
        "mode": "changed",
        "snapshot_schema": "s",
        "keep_changes": 3,
    }
    with pytest.raises(Exception, match="keep_changes") as caught:
        SqlToProfilesOperator(task_id="profiles", **arguments)
    assert not isinstance(caught.value, InvalidArgumentError)


def test_what_the_task_says_itself_is_refused_all_the_same() -> None:
    with pytest.raises(InvalidArgumentError, match=r"max_shrink: 0\.5 has no effect"):
        of_a_dag({"max_shrink": 0.2}, max_shrink=0.5)


# Shown

PROFILES: list[Any] = [
    ProfilesUpdateOperator,
    SqlToProfilesOperator,
    FilesToProfilesOperator,
    ProfilesDecoratedOperator,
]
OPERATORS: list[Any] = [
    CustomAudienceCreateOperator,
    CustomAudienceDeleteOperator,
    CustomAudienceListOperator,
    CustomAudienceUpdateOperator,
    CustomAudienceReplaceOperator,
    CustomAudienceMirrorOperator,
    SqlToCustomAudienceOperator,
    FilesToCustomAudienceOperator,
    CustomAudienceDecoratedOperator,
    CustomAudienceIndexingSensor,
    *PROFILES,
    ProfilesExportOperator,
    OrchestrationStatsOperator,
    CampaignStatsOperator,
    TransactionalStatsOperator,
]


@pytest.mark.parametrize("cls", OPERATORS)
def test_the_signature_has_every_parameter_with_type_default_and_text(cls: Any) -> None:
    parameters = [
        each for name, each in inspect.signature(cls).parameters.items() if each.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    assert all(each.annotation is not inspect.Parameter.empty for each in parameters)
    filled_in = {"python_callable", "op_args", "op_kwargs"}
    texts = dict(re.findall(r"^:param (\w+):\s*(\S.*)", cls.__doc__, re.MULTILINE))
    assert {each.name for each in parameters} - filled_in == texts.keys()


def test_the_decorator_shows_them_too() -> None:
    parameters = inspect.signature(custom_audience_task).parameters
    assert parameters["chunk_size"].default == 10_000
    assert custom_audience_task.__annotations__["kwargs"] is Any  # which Sphinx would show instead


def test_the_signature_of_a_replace() -> None:
    parameters = inspect.signature(CustomAudienceReplaceOperator).parameters
    assert list(parameters)[:3] == ["ids", "wait_for_indexing", "audience_name"]
    assert parameters["audience_name"].default is inspect.Parameter.empty
    assert parameters["chunk_size"].default == 10_000
    assert parameters["rejects_path"].annotation == "str | ObjectStoragePath | None"
    assert {"first_run", "mode", "snapshot_path"} & parameters.keys() == set()


def test_airflows_own_arguments_are_those_of_this_airflow() -> None:
    names = inspect.signature(BaseOperator.__init__).parameters.keys() - {"self", "kwargs"}
    ours = AirflowArguments.__annotations__.keys()
    assert names - ours <= {"task_concurrency"}  # Airflow 2 alone has it, and warns of it
    assert ours - names <= {"render_template_as_native_obj", "retry_policy"}  # of later ones
    sensors = inspect.signature(BaseSensorOperator.__init__).parameters.keys() - {"self", "kwargs"}
    assert SensorArguments.__annotations__.keys() - ours == sensors


_RIGHT = """
from datetime import timedelta

from airflow_provider_batch.decorators.custom_audience import custom_audience_task
from airflow_provider_batch.operators.custom_audience import *
from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor
from airflow_provider_batch.transfers.files_to_custom_audience import FilesToCustomAudienceOperator
from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator

Update, Replace = CustomAudienceUpdateOperator, CustomAudienceReplaceOperator
Mirror, Sql, Files = CustomAudienceMirrorOperator, SqlToCustomAudienceOperator, FilesToCustomAudienceOperator

Update(task_id="a", audience_name="vip", add_ids=["a"], retries=3, retry_delay=timedelta(1), pool="batch", doc_md="")
Update(task_id="a", audience_name="vip", wait_for_indexing=True, poke_interval=timedelta(1), mapped_by="id")
Replace(task_id="a", audience_name="vip", ids=[1], max_shrink="{{ params.most }}", chunk_size=7)
Mirror(task_id="a", audience_name="vip", ids=[1], snapshot_path="/x", on_drift="fail", outlets=[], queue="q")
Sql(task_id="a", audience_name="vip", sql="", conn_id="db", mode="mirror", snapshot_path="/x", max_shrink=0.5)
Files(task_id="a", audience_name="vip", path="/x", format="csv", attribute_columns={"a": "b"}, retries=None)
CustomAudienceCreateOperator(task_id="a", audience_name="vip", if_exists="fail", trigger_rule="all_done")
CustomAudienceIndexingSensor(task_id="a", audience_name="vip", indexing_tokens=[], mode="reschedule", timeout=3)
custom_audience_task(audience_name="vip", mode="replace", max_shrink=3, retries=1)
Update.partial(task_id="a", audience_name="vip").expand(add_ids=[["a"]])
"""
_WRONG = [
    'Replace(task_id="a", audience_name="vip", ids=[1], max_shrink={})',
    'Replace(task_id="a", audience_name="vip", ids=[1], first_run="add")',
    'Replace(task_id="a", ids=[1])',
    'Sql(task_id="a", audience_name="vip", sql="", conn_id="db", mode="mirrored")',
    'Sql(task_id="a", audience_name="vip", sql="", conn_id="db", chunksize=7)',
    'Update(task_id="a", audience_name="vip", chunk_size="7")',
    'Update(task_id="a", audience_name="vip", retries="3")',
    'Update(task_id="a", audience_name="vip", wait_for_indexing="yes")',
    'Mirror(task_id="a", audience_name="vip", ids=[1], snapshot_path="/x", on_drift="cry")',
    'Files(task_id="a", audience_name="vip", path="/x", format="xlsx")',
    'CustomAudienceCreateOperator(task_id="a", audience_name="vip", if_exists="replace")',
    'CustomAudienceDeleteOperator(task_id="a", audience_name="vip", if_missing="ignore")',
    'CustomAudienceIndexingSensor(task_id="a", audience_name="vip", indexing_tokens=[], deferrable="yes")',
    'custom_audience_task(audience_name="vip", mode="mirrored")',
]


def test_a_type_checker_refuses_each_wrong_line_and_no_other(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    file = tmp_path / "typed.py"
    file.write_text(_RIGHT + "\n".join(_WRONG) + "\n")
    # Airflow is not read, which would take a minute: the parameters, its own among them, are declared here.
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\n[mypy-airflow.*]\nfollow_imports = skip\n")
    found, errors, _ = api.run([str(file), f"--config-file={config}", f"--cache-dir={tmp_path}", "--no-error-summary"])
    assert not errors
    first = len(_RIGHT.splitlines()) + 1
    lines = {int(number) for number in re.findall(r"typed\.py:(\d+): error", found)}
    assert lines == set(range(first, first + len(_WRONG))), found
