"""A sandbox for each version of the API, behind the same connection: what is equal on all of them is tested on all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.sandbox import Sandbox
from airflow_provider_batch.sandbox.errors import UnknownAudience

APP, PROJECT = "sandbox-app-key", "project_sandbox"
_VERBS = {"POST": "create", "PATCH": "update", "PUT": "replace", "GET": "view", "DELETE": "delete"}


@dataclass(frozen=True)
class Version:
    """A version of the API, and what an audience of its own is."""

    name: str
    audience_type: str
    key: str

    @property
    def is_cep(self) -> bool:
        return self.name == "2.11"


VERSIONS = (
    Version("1.0", "custom_ids", APP),
    Version("1.1", "install_ids", APP),
    Version("2.11", "custom_ids", PROJECT),
)


class Stage:
    """A sandbox with audiences of one version, and the connection ``batch_default`` to it."""

    def __init__(
        self, version: Version, monkeypatch: pytest.MonkeyPatch, names: Iterable[str] = ("vip",), **settings: Any
    ) -> None:
        self.version = version
        self.audience_type = version.audience_type
        kind = "" if version.audience_type == "custom_ids" else f":{version.audience_type}"
        named = [f"{name}{kind}" for name in names]
        self.sandbox = Sandbox(**{"audiences": named, "keep_bodies": True, **settings})
        self._monkeypatch = monkeypatch

    def connect(self, **extra: object) -> BatchHook:
        """Put the connection, with more in its extra, into the environment; return its hook."""
        connection = json.loads(self.sandbox.connection_json(self.version.key))
        connection["extra"] = {"max_attempts": 3, **connection.get("extra", {}), **extra}
        self._monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", json.dumps(connection))
        return BatchHook()

    @property
    def members(self) -> set[str]:
        return set(self.sandbox.members("vip", self.version.key))

    @property
    def attributes(self) -> dict[str, dict[str, Any]]:
        return self.sandbox.attributes("vip", self.version.key)

    def exists(self, name: str) -> bool:
        try:
            self.sandbox.audience(name, self.version.key)
        except UnknownAudience:
            return False
        return True

    @property
    def verbs(self) -> list[str]:
        """What was asked, in its order."""
        return [self._verb(call.method, call.route) for call in self.sandbox.calls]

    def asked(self, verb: str) -> int:
        return self.verbs.count(verb)

    def _verb(self, method: str, route: str) -> str:
        if self.version.is_cep:
            return route.rpartition("/")[2].replace("remove", "delete")
        return "list" if route.endswith("/custom-audience") else _VERBS[method]


def on(*names: str) -> pytest.MarkDecorator:
    """Run a test in these versions only."""
    chosen = [version for version in VERSIONS if version.name in names]
    return pytest.mark.parametrize("version", chosen, ids=names, indirect=True)


OpenStage = Callable[..., Stage]


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def version(request: pytest.FixtureRequest) -> Version:
    given: Version = request.param
    return given


@pytest.fixture
def open_stage(version: Version, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenStage]:
    """Open a stage in each version, with settings of the sandbox."""
    with ExitStack() as stack:

        def opened(**settings: Any) -> Stage:
            stage = Stage(version, monkeypatch, **settings)
            stack.enter_context(stage.sandbox)
            stage.connect()
            return stage

        yield opened


@pytest.fixture
def stage(open_stage: OpenStage) -> Stage:
    return open_stage()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Give what was logged since the last time; Airflow 3 prints what it logs outside a worker."""

    def since() -> str:
        text = caplog.text + capsys.readouterr().out
        caplog.clear()
        return text

    return since
