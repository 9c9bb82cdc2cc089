from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from typing import Any, Self, get_args

from .api import CEP_DEFAULT_VERSION, Api
from .audience import AudienceFacts
from .calls import Call, CallLog
from .errors import ErrorKeys
from .faults import Fault, FaultScript
from .names import audience_of
from .rate import RateLimit
from .routes import CEP_VERSION
from .state import IndexingOrder, State

HOST = "127.0.0.1"
MISSING_EXTRA = "the sandbox needs Starlette and uvicorn: pip install 'airflow-provider-batch[sandbox]'"


class Sandbox:
    """A local Batch for tests and first steps, on 127.0.0.1 and in a thread of its own.

        with Sandbox() as sandbox:
            monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())

    It speaks the custom audience API 1.0 and 1.1 for *apps* and the audience API 2.x for *projects*; of 2.x only
    *api_version*, or with None all of it, with at most *requests_per_second* for each project (None: no limit).

    *audiences* exist from the start: `name` (custom ids) in every app and project, `name:advertising_ids` and
    `name:install_ids` in every app. *latency* is added to each answer and *indexing_delay* to each write, both in
    seconds; with *indexing_order* `random` a write takes any part of the delay, and a later one may count before an
    earlier one. *replaced_states* says whether a replace ends the writes before it as `REPLACED`; by default that is so
    in projects, as documented, and not in apps. *fault_rate* is the share of calls that get a random fault; faults and
    order are the same again for the same *seed*. *error_keys* name code and text in an error's body of 1.0 and 1.1,
    which no page of Batch shows. *keep_bodies* makes `calls` hold what was sent. *clock* gives Unix seconds: a test
    that owns it decides when a write is indexed, and when a second has passed.
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
        latency: float = 0.0,
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
            raise ValueError("at least one app is needed")
        if set(app_keys) & set(project_keys):
            raise ValueError("an app and a project can't have the same key")
        if len({audience_of(name)[0] for name in names}) < len(names):
            raise ValueError("an audience is named twice")
        if api_version is not None and not CEP_VERSION.fullmatch(api_version):
            raise ValueError("the API version is one like 2.11")
        if not (latency >= 0 and indexing_delay >= 0):  # so written, NaN is refused too
            raise ValueError("latency and indexing delay can't be negative")
        if indexing_order not in get_args(IndexingOrder):
            raise ValueError("the indexing order is sent or random")
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
        )
        limit = None if requests_per_second is None else RateLimit(requests_per_second, clock)
        self._api = Api(self._state, rest_api_key, error_keys, api_version=api_version, rate_limit=limit)
        self._script = FaultScript(fault_rate, seed)
        self._log = CallLog(clock)
        self._leave: Callable[[], object] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Listen, and return once connections are accepted. After `stop()` it is the same port with the same state.

        Raises OSError if the port is taken, ImportError without the extra `sandbox`.
        """
        if self._leave is not None:
            raise RuntimeError("this sandbox is running already")
        try:
            from . import web  # here, so that importing the sandbox asks for nothing but the standard library
        except ImportError as exc:
            raise ImportError(MISSING_EXTRA) from exc
        endpoint = web.Endpoint(self._api, self._script, self._log, self.latency, self.keep_bodies)
        app = web.application(endpoint, self._state, self._log)
        listener = _listen(self.port)
        self.port = listener.getsockname()[1]
        ready: Future[Callable[[], object]] = Future()
        self._thread = threading.Thread(
            target=_run, args=(web.serve(app, listener, ready), ready), name="batch-sandbox", daemon=True
        )
        self._thread.start()
        self._leave = ready.result()
        return self

    def stop(self) -> None:
        """Close every connection, also in the middle of an answer. Stopping twice is fine."""
        if self._leave is not None:
            self._leave()
            self._thread.join()
            self._leave = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def connection_json(self, app: str | None = None) -> str:
        """An Airflow connection as JSON, for `AIRFLOW_CONN_BATCH_DEFAULT`; of the first app, or of any key here."""
        key = self._key(app)
        fields: dict[str, object] = {
            "conn_type": "batch",
            "login": key,
            "password": self._rest_api_key,
            "host": self.url,
        }
        if key in self._state.projects:
            version = {} if self._api_version is None else {"api_version": self._api_version}
            fields["extra"] = {"platform": "cep", **version}
        return json.dumps(fields)

    def members(self, audience: str, app: str | None = None) -> frozenset[str]:
        """The ids whose writes are applied by now; *app* may be a project's key, here and below."""
        return self._state.members(self._key(app), audience)

    def attributes(self, audience: str, app: str | None = None) -> dict[str, dict[str, Any]]:
        """Each member's `{"attributes": {…}, "tags": […]}`, empty where none came with the id."""
        traits = self._state.traits(self._key(app), audience)
        return {
            member: {"attributes": dict(each.attributes), "tags": list(each.tags)} for member, each in traits.items()
        }

    def audience(self, audience: str, app: str | None = None) -> AudienceFacts:
        """What the view route tells of *audience*'s latest write, in the words of 1.0."""
        return self._state.facts(self._key(app), audience)

    @property
    def calls(self) -> list[Call]:
        """The last 200 API calls, oldest first."""
        return self._log.snapshot()

    def faults(self, *faults: Fault | None) -> None:
        """Each of the next API calls takes one of *faults*; None answers as ever."""
        self._script.add(*faults)

    def _key(self, app: str | None) -> str:
        return self._state.apps[0] if app is None else app


def _run(serving: Coroutine[object, object, None], ready: Future[Callable[[], object]]) -> None:
    try:
        asyncio.run(serving)
    except BaseException as exc:
        if ready.done():
            raise
        ready.set_exception(exc)  # whoever starts the sandbox waits for this answer


def _listen(port: int) -> socket.socket:
    # With the protocol named, asyncio sets TCP_NODELAY; without, each answer on a kept connection is 40 ms late.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":
        # Come back on the port at once; elsewhere the option would let two servers share it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener
