"""A push of several chunks over several connections, and what has to come of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.protocol import limits
from airflow_provider_batch.protocol.audiences.results import PushResult
from airflow_provider_batch.sandbox import Sandbox
from tests.transport.servers import RawServer

Connect = Callable[..., BatchHook]


@pytest.fixture(autouse=True)
def wait_after_a_429(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch recommends five seconds."""
    monkeypatch.setattr(limits, "RATE_LIMIT_WAIT", 0.05)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Put a server's connection, with another ``host`` or ``login`` if given, into the environment; return its hook."""

    def connected(
        server: Sandbox | RawServer, *, host: str | None = None, login: str | None = None, **extra: object
    ) -> BatchHook:
        connection = json.loads(server.connection_json())
        connection["extra"] = {"max_attempts": 8, "max_concurrency": 3, **extra}
        connection["host"] = host or connection["host"]
        connection["login"] = login or connection["login"]
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", json.dumps(connection))
        return BatchHook()

    return connected


@dataclass(frozen=True)
class Push:
    """What is there before, what is pushed, and what has to be there afterwards."""

    before: Sequence[str] = tuple(f"member-{number}" for number in range(10))
    adds: Sequence[str] = tuple(f"customer-{number}" for number in range(40))
    # Some were there before, some are to be added by the same push, one was never there.
    removes: Sequence[str] = (*(f"member-{number}" for number in range(4)), "customer-3", "customer-33", "nobody")
    chunk_size: int = 10

    @property
    def expected(self) -> set[str]:
        return {*self.before, *self.adds} - {*self.removes}

    @property
    def calls(self) -> int:
        sent = len({*self.adds} - {*self.removes}) + len({*self.removes})
        return -(-sent // self.chunk_size)

    def run(self, hook: BatchHook, adds: Iterable[str] | None = None, **options: Any) -> PushResult:
        return hook.update_custom_audience(
            "vip",
            add_ids=self.adds if adds is None else adds,
            remove_ids=self.removes,
            chunk_size=self.chunk_size,
            **options,
        )

    def assert_done(self, members: Iterable[str], result: PushResult) -> None:
        """Nothing is lost, nothing is left, and each call has a token of its own."""
        assert set(members) == self.expected
        assert len(result.indexing_tokens) == len(set(result.indexing_tokens)) == self.calls
