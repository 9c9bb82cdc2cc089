"""The journal in Airflow's state store, against a store that does what Airflow's does."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batch.protocol.writes import Receipt
from airflow_provider_batch.push.parcels import Delivered
from airflow_provider_batch.tasks.journal import TaskStateJournal
from tests.clock import Clock
from tests.worker import Store


@pytest.fixture
def clock() -> Clock:
    return Clock()


def receipt(number: int) -> Receipt:
    return Receipt(number, 10_000, 0, (f"{number:032x}",), f"digest-{number}")


def note(journal: TaskStateJournal, *numbers: int) -> None:
    for number in numbers:
        journal.note(receipt(number))


def delivered(many: int) -> Delivered:
    return Delivered(f"digest-{many}", tuple(receipt(number).indexing_tokens[0] for number in range(1, many + 1)))


def test_an_empty_store_knows_nothing(store: Store) -> None:
    assert TaskStateJournal(store).read() is None


@pytest.mark.parametrize("many", [1, 999, 1000, 1001, 2500])
def test_the_next_try_knows_what_was_noted(many: int, store: Store) -> None:
    journal = TaskStateJournal(store)
    note(journal, *range(1, many + 1))
    journal.close()
    assert TaskStateJournal(store).read() == delivered(many)


def test_it_is_written_every_few_seconds_and_not_for_every_chunk(store: Store, clock: Clock) -> None:
    journal = TaskStateJournal(store, clock)
    note(journal, *range(1, 101))
    assert store.writes == 0
    clock.now += 5
    note(journal, 101)
    assert TaskStateJournal(store, clock).read() == delivered(101)
    written = store.writes
    note(journal, *range(102, 200))
    assert store.writes == written


def test_closing_twice_writes_once(store: Store) -> None:
    journal = TaskStateJournal(store)
    note(journal, 1)
    journal.close()
    written = store.writes
    journal.close()
    assert store.writes == written


def test_the_next_try_goes_on_where_the_last_one_ended(store: Store) -> None:
    journal = TaskStateJournal(store)
    note(journal, *range(1, 1500))
    journal.close()
    again = TaskStateJournal(store)
    again.read()
    note(again, *range(1500, 2100))
    again.close()
    assert TaskStateJournal(store).read() == delivered(2099)


def test_another_input_replaces_what_was_noted(store: Store) -> None:
    journal = TaskStateJournal(store)
    note(journal, *range(1, 1500))
    journal.close()
    again = TaskStateJournal(store)
    again.read()
    note(again, 1, 2)
    again.close()
    assert TaskStateJournal(store).read() == delivered(2)


def test_after_a_success_nothing_is_left(store: Store) -> None:
    journal = TaskStateJournal(store)
    note(journal, *range(1, 2500))
    journal.close()
    TaskStateJournal(store).clear()
    assert store.values == {}


def test_clearing_an_empty_store_is_fine(store: Store) -> None:
    TaskStateJournal(store).clear()
    assert store.values == {}


def test_a_journal_of_yesterday_is_not_trusted(store: Store, clock: Clock) -> None:
    journal = TaskStateJournal(store, clock)
    note(journal, 1)
    journal.close()
    clock.now += 24 * 3600 + 1
    assert TaskStateJournal(store, clock).read() is None


def test_a_head_without_its_pages_is_not_trusted(store: Store) -> None:
    journal = TaskStateJournal(store)
    note(journal, *range(1, 1500))
    journal.close()
    store.delete("push_page_1")
    assert TaskStateJournal(store).read() is None


def test_ten_thousand_chunks_take_little_in_each_value(store: Store) -> None:
    journal = TaskStateJournal(store)
    note(journal, *range(1, 10_001))
    journal.close()
    assert max(map(len, store.values.values())) < 40_000
    assert len(store.values["push"]) < 200


def test_a_store_that_fails_does_not_fail_the_push(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Store):
        def set(self, key: str, value: Any) -> None:
            raise OSError("no")

    journal = TaskStateJournal(Broken())
    note(journal, 1)
    journal.close()
    assert "could not be stored for a retry" in caplog.text


def test_before_airflow_3_3_there_is_no_journal() -> None:
    assert TaskStateJournal.of({}) is None
