"""`Sandbox`: the API, its state and its faults behind a port of this machine."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, Self, get_args

from airflow_provider_batch.sandbox.api import CEP_DEFAULT_VERSION, Api
from airflow_provider_batch.sandbox.audience import AudienceFacts
from airflow_provider_batch.sandbox.calls import Call, CallLog
from airflow_provider_batch.sandbox.errors import ErrorKeys
from airflow_provider_batch.sandbox.faults import Fault, FaultInjector
from airflow_provider_batch.sandbox.names import parse_audience
from airflow_provider_batch.sandbox.rate import ProfileLimits, RateLimit
from airflow_provider_batch.sandbox.routes import CEP_VERSION
from airflow_provider_batch.sandbox.state import IndexingOrder, State

HOST = "127.0.0.1"
MISSING_EXTRA = "the sandbox needs Starlette and uvicorn: pip install 'airflow-provider-batch[sandbox]'"


class Sandbox:
    """
    A local Batch for tests and first steps; it listens on 127.0.0.1 only and runs in its own thread::

        with Sandbox() as sandbox:
            monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())

    :param audiences: audiences that exist from the start: ``name`` (custom ids) in every app and project;
        ``name:advertising_ids`` and ``name:install_ids`` in every app.
    :param port: the port to listen on; 0 for any free one.
    :param apps: the keys of the apps, for the APIs 1.0 and 1.1.
    :param projects: the keys of the projects, for the API 2.x.
    :param rest_api_key: the company's key, for all APIs.
    :param api_version: the one version of 2.x that exists; None if all versions exist.
    :param requests_per_second: the limit for each app and project; None for no limit.
    :param rate_limit_wait: seconds after a 429 in which the next request of that app or project gets a 429 too, which
        starts the wait anew; Batch recommends to wait for 5.
    :param profile_limits: whether a project may write only as many profiles in a time as Batch documents.
    :param latency: seconds added to each response.
    :param export_delay: seconds until an export of profiles is done.
    :param rows_per_part: the most records in one file of an export.
    :param indexing_delay: seconds until a write is applied.
    :param indexing_order: ``sent`` to apply writes in order, ``random`` to apply each at any time within the delay.
    :param replaced_states: whether writes before an applied replace show ``REPLACED``; by default only in projects, as
        documented.
    :param fault_rate: the share of calls that get a random fault, from 0 to 1.
    :param seed: the same seed draws the same faults and the same random order.
    :param error_keys: the keys of code and message in an error body of 1.0 and 1.1, which Batch does not document.
    :param keep_bodies: whether `calls` keep the bodies of requests.
    :param clock: returns Unix seconds; a test with its own clock decides when a write is applied.
    """

    def __init__(
        self,
        audiences: Iterable[str] = ("vip",),
        *,
        port: int = 0,
        apps: Iterable[str] = ("sandbox-app-key",),
        projects: Iterable[str] = ("project_sandbox",),
        rest_api_key: str = "sandbox-rest-key",
        api_version: str | None = CEP_DEFAULT_VERSION,
        requests_per_second: float | None = None,
        rate_limit_wait: float = 0.0,
        profile_limits: bool = True,
        latency: float = 0.0,
        export_delay: float = 0.0,
        rows_per_part: int = 1000,
        indexing_delay: float = 0.0,
        indexing_order: IndexingOrder = "sent",
        replaced_states: bool | None = None,
        fault_rate: float = 0.0,
        seed: int | None = None,
        error_keys: ErrorKeys = ("code", "message"),
        keep_bodies: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        names, app_keys, project_keys = tuple(audiences), tuple(apps), tuple(projects)
        if not app_keys:
            raise ValueError("apps needs at least one app")
        if set(app_keys) & set(project_keys):
            raise ValueError("an app and a project have the same key; give each its own")
        if len({parse_audience(name)[0] for name in names}) < len(names):
            raise ValueError("an audience is given twice; give each name once, with one type")
        if api_version is not None and not CEP_VERSION.fullmatch(api_version):
            raise ValueError(f"api_version must look like {CEP_DEFAULT_VERSION}")
        if not (latency >= 0 and indexing_delay >= 0 and export_delay >= 0):  # this form rejects NaN too
            raise ValueError("latency, indexing_delay and export_delay must be 0 seconds or more")
        if rows_per_part < 1:
            raise ValueError("rows_per_part must be 1 or more")
        if indexing_order not in get_args(IndexingOrder):
            raise ValueError("indexing_order must be sent or random")
        self.port = port
        self.latency = latency
        self.keep_bodies = keep_bodies
        self._rest_api_key = rest_api_key
        self._api_version = api_version
        self._state = State(
            app_keys,
            names,
            projects=project_keys,
            indexing_delay=indexing_delay,
            clock=clock,
            indexing_order=indexing_order,
            seed=seed,
            replaced_states=replaced_states,
            export_delay=export_delay,
            rows_per_part=rows_per_part,
        )
        limit = None if requests_per_second is None else RateLimit(requests_per_second, clock, rate_limit_wait)
        profiles = ProfileLimits(clock) if profile_limits else None
        self._api = Api(self._state, rest_api_key, error_keys, api_version, limit, profiles)
        self._faults = FaultInjector(fault_rate, seed)
        self._log = CallLog(clock)
        self._leave: Callable[[], object] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> Self:
        """
        Listen, and return once connections are accepted. A sandbox that starts again keeps its port and its state.

        :raises OSError: if the port is taken.
        :raises ImportError: if the extra ``sandbox`` is not installed.
        """
        if self._leave is not None:
            raise RuntimeError("the sandbox is already running")
        try:
            from airflow_provider_batch.sandbox import web  # here, so that importing the sandbox needs no extra
        except ImportError as exc:
            raise ImportError(MISSING_EXTRA) from exc
        endpoint = web.Endpoint(self._api, self._faults, self._log, self.latency, self.keep_bodies)
        app = web.application(endpoint, self._state, self._log)
        listener = socket.create_server((HOST, self.port), backlog=128)
        self.port = listener.getsockname()[1]
        ready: Future[Callable[[], object]] = Future()
        serving = web.serve(app, listener, ready)
        self._thread = threading.Thread(target=_run, args=(serving, ready), name="batch-sandbox", daemon=True)
        self._thread.start()
        self._leave = ready.result()
        return self

    def stop(self) -> None:
        """Close every connection at once, even during a response. A second call has no effect."""
        if self._leave is not None:
            self._leave()
            self._thread.join()
            self._leave = None

    @property
    def url(self) -> str:
        """The address of the sandbox, without a slash at its end."""
        return f"http://{HOST}:{self.port}"

    def connection_json(self, app: str | None = None) -> str:
        """
        Return an Airflow connection as JSON, for ``AIRFLOW_CONN_BATCH_DEFAULT``.

        :param app: the key of an app or project; None for the first app. The same in the methods below.
        """
        key = self._key(app)
        fields: dict[str, Any] = {"conn_type": "batch", "login": key, "password": self._rest_api_key, "host": self.url}
        if key in self._state.projects:
            version = {} if self._api_version is None else {"api_version": self._api_version}
            fields["extra"] = {"platform": "cep", **version}
        return json.dumps(fields)

    def members(self, audience: str, app: str | None = None) -> frozenset[str]:
        """Return the ids whose writes are applied."""
        return self._state.members(self._key(app), audience)

    def attributes(self, audience: str, app: str | None = None) -> dict[str, dict[str, Any]]:
        """Return ``{"attributes": {...}, "tags": [...]}`` for each member; both are empty if none came with the id."""
        traits = self._state.traits(self._key(app), audience)
        return {name: {"attributes": dict(each.attributes), "tags": list(each.tags)} for name, each in traits.items()}

    def profiles(self, project: str | None = None) -> dict[str, dict[str, Any]]:
        """Return the attributes of each profile; *project* is the key of a project, None for the first one."""
        return self._state.profile_attributes(self._state.projects[0] if project is None else project)

    def audience(self, audience: str, app: str | None = None) -> AudienceFacts:
        """Return what the view route returns without a token, with the field names of 1.0."""
        return self._state.view(self._key(app), audience)

    @property
    def calls(self) -> list[Call]:
        """The last 200 API calls, oldest first."""
        return self._log.snapshot()

    def faults(self, *faults: Fault | None) -> None:
        """Give one of *faults* to each of the next API calls, in order; None for a call without a fault."""
        self._faults.add(*faults)

    def apply_pending(self) -> None:
        """Apply every accepted write now, whatever its delay."""
        self._state.apply_pending()

    def export_records(self, records: Iterable[Mapping[str, Any]], project: str | None = None) -> None:
        """
        Set what all further exports of a project hold; by default, one record for each member of its audiences.

        :param records: one dict each.
        :param project: the key of a project; None for the first one. The same in the methods below.
        """
        self._state.exports.records[self._project(project)] = list(records)

    def fail_exports(self, count: int = 1) -> None:
        """Let the next *count* exports end in ERROR."""
        self._state.exports.failing = count

    def expire_addresses(self) -> None:
        """Let all addresses of files expire now, instead of after 20 minutes."""
        self._state.exports.expire_addresses()

    @property
    def leaks(self) -> int:
        """How many requests for a file came with a key, or with a header of this provider."""
        return self._state.exports.leaks

    def add_orchestrations(self, count: int, project: str | None = None) -> list[str]:
        """Add orchestrations that have statistics, and return their ids."""
        return self._state.statistics.add(self._project(project), count)

    def add_campaigns(self, count: int, app: str | None = None) -> list[str]:
        """Add campaigns that have statistics, and return their tokens."""
        return self._state.statistics.add(self._key(app), count)

    def forget_statistics(self, key: str) -> None:
        """Let the statistics of an orchestration or campaign be unknown, although it is in its list."""
        self._state.statistics.forget(key)

    def _project(self, project: str | None) -> str:
        return self._state.projects[0] if project is None else project

    def _key(self, app: str | None) -> str:
        return self._state.apps[0] if app is None else app


def _run(serving: Coroutine[object, object, None], ready: Future[Callable[[], object]]) -> None:
    try:
        asyncio.run(serving)
    except BaseException as exc:
        if ready.done():
            raise
        ready.set_exception(exc)  # start() waits for this result
