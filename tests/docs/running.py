"""The DAGs of a page, run as its readers run them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from tests.dags.test_example_dags import load

_DAG_ID = re.compile(r"""^ *with DAG\(\s*"(\w+)\"""", re.MULTILINE)


def run_dags(code: str, folder: Path, choice: str = "Approve") -> list[Any]:
    """Run the DAGs in *code*, one after the other, and return their DAG runs; *choice* is what a person answers."""
    path = folder / "page_dag.py"
    path.write_text(code)
    person = somebody_answers(choice) if "ApprovalOperator" in code else nullcontext()
    with pytest.MonkeyPatch.context() as environment, person:
        environment.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", _bundle(folder))
        dags = [load(path, dag_id) for dag_id in _DAG_ID.findall(code)]
        _activate_assets(path, dags)
        for dag in dags:
            dag.deadline = None  # Airflow 3.3's dag.test() looks for what only its scheduler has stored
        return [dag.test() for dag in dags]


def states(dag_run: Any) -> dict[str, str]:
    """Return the state of each task."""
    return {ti.task_id: str(ti.state) for ti in dag_run.get_task_instances()}


def _bundle(folder: Path) -> str:
    """Return Airflow 3's setting for DAGs in *folder*; Airflow 2 runs a DAG that it has not seen."""
    classpath = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return json.dumps([{"name": "page", "classpath": classpath, "kwargs": {"path": str(folder)}}])


def _activate_assets(path: Path, dags: list[Any]) -> None:
    """Do what Airflow 2 and 3.0 leave to the scheduler: an asset is known once its DAG file was read."""
    if hasattr(DAG, "bulk_write_to_db"):
        DAG.bulk_write_to_db(dags)
    elif version("apache-airflow").startswith("3.0."):
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.models.dagbag import DagBag

        DagBundlesManager().sync_bundles_to_db()
        bag: Any = DagBag(path, include_examples=False)
        bag.sync_to_db("page", None)


@contextmanager
def somebody_answers(choice: str) -> Iterator[None]:
    """Answer *choice* to whatever waits for a person, as in the UI."""
    from airflow.models.hitl import HITLDetail
    from sqlalchemy import select
    from sqlalchemy.orm import configure_mappers

    configure_mappers()
    asked = select(HITLDetail)
    over = threading.Event()
    person = threading.Thread(target=_answer_until, args=[over, asked, choice])
    person.start()
    try:
        yield
    finally:
        over.set()
        person.join()


def _answer_until(over: threading.Event, asked: Any, choice: str) -> None:
    from airflow.models.trigger import handle_event_submit
    from airflow.triggers.base import TriggerEvent
    from airflow.utils.session import create_session

    while not over.wait(0.2):
        with create_session() as session:
            for request in session.scalars(asked):
                state = request.task_instance.state
                if state != "awaiting_input" and (state != "deferred" or request.responded_at):  # not yet, or no more
                    continue
                request.responded_by, request.responded_at = {"id": "1", "name": "a person"}, datetime.now(UTC)
                request.chosen_options, request.params_input = [choice], {}
                # From Airflow 3.3 on, no trigger sees the answer; and dag.test() may set the state once more behind it.
                if state == "awaiting_input":
                    event = TriggerEvent(request.as_resume_event_payload())
                    handle_event_submit(event, task_instance=request.task_instance, session=session)
