"""How far a push is, in numbers and in the log."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.protocol.writes import Receipt, Sent
from airflow_provider_batch.push.progress import Progress
from tests.clock import Clock

NO, NEITHER = Rejection("letters", 1, "no"), Rejection("letters", 2, "neither")


def receipt(number: int, added: int = 0, removed: int = 0, *, earlier: bool = False) -> Receipt:
    return Receipt(number, added, removed, (f"t{number}",), earlier=earlier)


class Log:
    """Progress with so many records in all, and what it has logged."""

    def __init__(self, caplog: pytest.LogCaptureFixture, total: int | None = None) -> None:
        caplog.set_level(logging.INFO)
        self._caplog = caplog
        self.clock = Clock(1000.0)
        self.progress = Progress(logging.getLogger(__name__), "vip", total, self.clock)

    def after(self, seconds: float, *receipts: Receipt) -> list[str]:
        """What is logged of *receipts*, so many seconds later."""
        self.clock.now += seconds
        self._caplog.clear()
        for one in receipts:
            self.progress.count(one)
        return self._caplog.messages


def test_the_sum_is_that_of_all_receipts(caplog: pytest.LogCaptureFixture) -> None:
    log = Log(caplog)
    log.after(
        7.5,
        Receipt(1, 10, 3, ("a", "b"), "", (NO,), earlier=True),
        Receipt(2, 20, 4, ("c",), "", (NEITHER,), earlier=True),
        Receipt(3, 40, 5, ("d",)),
    )
    assert log.progress.sent(9) == Sent(70, 12, ("a", "b", "c", "d"), (NO, NEITHER), 7.5, 3, 9)


def test_the_sum_of_nothing_is_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert Log(caplog).progress.sent() == Sent()


def test_the_first_receipt_is_logged_and_then_one_every_five_seconds(caplog: pytest.LogCaptureFixture) -> None:
    log = Log(caplog)
    assert log.after(0, receipt(1, 1)) == ["vip: chunk 1 accepted; 1 id, 1,000 ids/s"]
    assert log.after(4.9, receipt(2, 1), receipt(3, 1)) == []
    assert log.after(0.1, receipt(4, 1), receipt(5, 1)) == ["vip: chunk 4 accepted; 4 ids, 1 ids/s"]
    assert log.after(4.9, receipt(6, 1)) == []
    assert log.after(10.1, receipt(7, 93)) == ["vip: chunk 7 accepted; 99 ids, 5 ids/s"]


def test_where_all_records_are_known_the_log_gives_the_share(caplog: pytest.LogCaptureFixture) -> None:
    log = Log(caplog, total=8000)
    assert log.after(2, receipt(1, 1500, 500)) == ["vip: chunk 1 accepted; 2,000 ids of 8,000 (25%), 1,000 ids/s"]
    assert log.after(8, receipt(2, 0, 4000)) == ["vip: chunk 2 accepted; 6,000 ids of 8,000 (75%), 600 ids/s"]


def test_the_last_receipt_is_left_to_the_summary(caplog: pytest.LogCaptureFixture) -> None:
    log = Log(caplog, total=8000)
    assert log.after(2, receipt(1, 3000, 5000)) == []


def test_what_an_earlier_try_sent_is_no_part_of_the_speed(caplog: pytest.LogCaptureFixture) -> None:
    log = Log(caplog)
    assert log.after(1, receipt(1, 60, 40, earlier=True)) == ["vip: chunk 1 accepted; 100 ids, 0 ids/s"]
    assert log.after(9, receipt(2, 300, 200, earlier=True), receipt(3, 50)) == [
        "vip: chunk 2 accepted; 600 ids, 0 ids/s"
    ]
    assert log.after(10, receipt(4, 50)) == ["vip: chunk 4 accepted; 700 ids, 5 ids/s"]
