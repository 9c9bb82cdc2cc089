"""Both transports behind one face, so that they hold the same conversations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import pytest

from airflow_provider_batch.protocol.flow import Answer, Effect
from airflow_provider_batch.transport.aio import open_transport
from airflow_provider_batch.transport.blocking import BlockingTransport, open_session
from airflow_provider_batch.transport.credentials import Credentials
from airflow_provider_batch.transport.pace import Pace
from tests.transport.servers import KEY, REST_KEY

Make = Callable[[str], Credentials]


class Converse(Protocol):
    __name__: str

    def __call__(
        self, credentials: Credentials, *effects: Effect, timeout: float = 10, pace: Pace | None = None
    ) -> Sequence[Answer]:
        """Perform *effects* one after the other over one transport, and return what came of each."""


def _blocking(
    credentials: Credentials, *effects: Effect, timeout: float = 10, pace: Pace | None = None
) -> list[Answer]:
    with open_session(credentials, timeout=timeout) as session:
        transport = BlockingTransport(session, credentials, pace or Pace(None), timeout=timeout)
        return [transport.perform(effect) for effect in effects]


def _aio(credentials: Credentials, *effects: Effect, timeout: float = 10, pace: Pace | None = None) -> list[Answer]:
    async def converse() -> list[Answer]:
        async with open_transport(credentials, timeout=timeout, pace=pace or Pace(None)) as transport:
            return [await transport.perform(effect) for effect in effects]

    return asyncio.run(converse())


@pytest.fixture(params=[_blocking, _aio], ids=["blocking", "aio"])
def converse(request: pytest.FixtureRequest) -> Converse:
    transport: Converse = request.param
    return transport


@pytest.fixture
def credentials() -> Make:
    return lambda url: Credentials(url, KEY, REST_KEY, "tests/1")
