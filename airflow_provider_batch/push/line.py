"""An open line to Batch, for one piece of work."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_batch.protocol.flow import Flow, run
from airflow_provider_batch.protocol.retry import Patience, Polling
from airflow_provider_batch.transport.settings import Settings

if TYPE_CHECKING:
    from airflow_provider_batch.transport.blocking import BlockingTransport

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Line:
    """
    A connection's settings, an open transport, and a logger such as a hook's: all that it takes to run flows.
    """

    settings: Settings
    transport: BlockingTransport
    log: Any

    def check(self) -> None:
        """
        Do nothing, unless the work was stopped.

        :raises PushStoppedError: if it was.
        """
        self.transport.check()

    def ask(self, flow: Flow[R]) -> R:
        """
        Run *flow* to its end and return its value.

        :raises PushStoppedError: if the work was stopped.
        """
        return run(flow, self.transport.perform)

    def wait(self, flow: Callable[[Polling], Flow[R]], patience: Patience) -> R:
        """Run a flow that polls, from now on and for as long as *patience* allows."""
        return self.ask(flow(self.settings.polling(patience, time.monotonic)))
