"""The journal in Airflow's state store, against a store that does what Airflow's does."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_batch.protocol.writes import Receipt
from airflow_provider_batch.push.parcels import Delivered
from airflow_provider_batch.tasks.journal import TaskStateJournal
from tests.clock import Clock
from tests.worker import Store, memory


@pytest.fixture
def clock() -> Clock:
    return Clock()


def first(store: Any, **arguments: Any) -> TaskStateJournal:
    return TaskStateJournal(memory(store), **arguments)


def second(store: Any, **arguments: Any) -> TaskStateJournal:
    return TaskStateJournal(memory(store, 2), **arguments)


def receipt(number: int) -> Receipt:
    return Receipt(number, 10_000, 0, (f"{number:032x}",), f"digest-{number}")


def note(journal: TaskStateJournal, *numbers: int) -> None:
    for number in numbers:
        journal.note(receipt(number))


def delivered(many: int) -> Delivered:
    return Delivered(f"digest-{many}", tuple(receipt(number).indexing_tokens[0] for number in range(1, many + 1)))


def test_an_empty_store_knows_nothing(store: Store) -> None:
    assert second(store).read() is None


@pytest.mark.parametrize("many", [1, 999, 1000, 1001, 2500])
def test_the_next_try_knows_what_was_noted(many: int, store: Store) -> None:
    journal = first(store)
    note(journal, *range(1, many + 1))
    journal.close()
    assert second(store).read() == delivered(many)


class SlowStore(Store):
    """A store whose every write takes some seconds."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock = clock
        self.seconds = seconds

    def set(self, key: str, value: Any) -> None:
        self.clock.now += self.seconds
        super().set(key, value)


def written_at(store: SlowStore, seconds: float, every: float = 0.01) -> list[float]:
    """When a journal in *store* begins to write, if a chunk is accepted *every* so many seconds."""
    clock = store.clock
    start, journal, found = clock.now, first(store, stopwatch=clock), []
    for number in range(1, 10_000):
        before, then = store.writes, clock.now
        journal.note(receipt(number))
        if store.writes > before:
            found.append(round(then - start, 6))
        clock.now += every
        if clock.now - start > seconds:
            return found
    raise AssertionError("too many chunks")


def test_the_first_note_comes_before_a_second_is_over(clock: Clock) -> None:
    assert written_at(SlowStore(clock, 0.0), 0.49) == []
    assert written_at(SlowStore(clock, 0.0), 0.505)[0] == pytest.approx(0.5, abs=0.011)


@pytest.mark.parametrize(("seconds", "pause"), [(0.003, 0.2), (0.006, 0.4), (0.015, 1.0), (0.1, 1.0), (3.0, 1.0)])
def test_writes_take_a_small_part_of_the_time_unless_a_second_of_calls_would_be_lost(
    seconds: float, pause: float, clock: Clock
) -> None:
    written = written_at(SlowStore(clock, seconds), 20, every=0.025)
    pauses = [later - earlier - 2 * seconds for earlier, later in pairwise(written)]  # one write is two values
    assert pauses == pytest.approx([pause] * len(pauses), abs=0.0251)
    assert len(pauses) >= 2


def test_one_slow_write_is_soon_forgotten(clock: Clock) -> None:
    store = SlowStore(clock, 0.0015)
    journal = first(store, stopwatch=clock)
    pauses = []
    for number in range(1, 6):
        clock.now += 2
        store.seconds = 0.0075 if number == 2 else 0.0015
        journal.note(receipt(number))
        pauses.append(journal._save_at - clock.now)
    assert pauses == pytest.approx([0.1, 0.3, 0.2, 0.15, 0.125])


def test_closing_twice_writes_once(store: Store) -> None:
    journal = first(store)
    note(journal, 1)
    journal.close()
    written = store.writes
    journal.close()
    assert store.writes == written


def test_the_next_try_goes_on_where_the_last_one_ended(store: Store) -> None:
    journal = first(store)
    note(journal, *range(1, 1500))
    journal.close()
    again = second(store)
    again.read()
    note(again, *range(1500, 2100))
    again.close()
    assert TaskStateJournal(memory(store, 3)).read() == delivered(2099)


def test_another_input_replaces_what_was_noted(store: Store) -> None:
    journal = first(store)
    note(journal, *range(1, 1500))
    journal.close()
    again = second(store)
    again.read()
    note(again, 1, 2)
    again.close()
    assert TaskStateJournal(memory(store, 3)).read() == delivered(2)


def test_after_a_success_nothing_is_left(store: Store) -> None:
    journal = first(store)
    note(journal, *range(1, 2500))
    journal.close()
    second(store).clear()
    assert store.values == {}


def test_clearing_an_empty_store_is_fine(store: Store) -> None:
    second(store).clear()
    assert store.values == {}


def test_a_journal_of_yesterday_is_not_trusted(store: Store, clock: Clock) -> None:
    journal = first(store, clock=clock)
    note(journal, 1)
    journal.close()
    clock.now += 24 * 3600 + 1
    assert second(store, clock=clock).read() is None


def test_a_head_without_its_pages_is_not_trusted(store: Store) -> None:
    journal = first(store)
    note(journal, *range(1, 1500))
    journal.close()
    store.delete("push_page_1")
    assert second(store).read() is None


def test_ten_thousand_chunks_take_little_in_each_value(store: Store) -> None:
    journal = first(store)
    note(journal, *range(1, 10_001))
    journal.close()
    assert max(map(len, store.values.values())) < 40_000
    assert len(store.values["push"]) < 200


def test_it_is_for_the_next_try_alone(store: Store) -> None:
    journal = first(store)
    note(journal, 1, 2)
    journal.close()
    for try_number, known in [(1, None), (2, delivered(2)), (3, None)]:
        assert TaskStateJournal(memory(store, try_number)).read() == known


def test_a_try_that_sends_nothing_more_hands_it_on(store: Store) -> None:
    journal = first(store)
    note(journal, 1, 2)
    journal.close()
    again = second(store)
    assert again.read() == delivered(2)
    again.close()
    assert TaskStateJournal(memory(store, 3)).read() == delivered(2)
    assert second(store).read() is None


@pytest.mark.parametrize("since", [(3, 0), (2, 1), (3, 1), ()], ids=["ended", "running", "whole run", "unknown"])
def test_what_a_task_did_before_it_was_cleared_does_not_count(since: tuple[int, ...], store: Store) -> None:
    """Airflow raises max_tries, or the run's clear_number, or both."""
    journal = TaskStateJournal(memory(store, 1, 2, 0))
    note(journal, 1, 2)
    journal.close()
    assert TaskStateJournal(memory(store, 2, *since)).read() is None
    assert TaskStateJournal(memory(store, 2, 2, 0)).read() == delivered(2)


def head(**changed: Any) -> dict[str, Any]:
    whole = {"chunks": 2, "fingerprint": "digest-2", "at": 1_000_000.0, "try": 1, "cleared": []}
    return {name: value for name, value in {**whole, **changed}.items() if value is not ...}


PAGE = list(delivered(2).indexing_tokens)


NO_HEADS: list[Any] = [
    *("text", 7, 1.5, True, [], [1], {}, {"chunks": 2}),
    *(head(**{name: ...}) for name in head()),
    *(head(chunks=value) for value in ("2", 2.0, None, [2], -1, 0, 3, 10**12, 10**400)),
    *(head(fingerprint=value) for value in (None, 7, ["digest-2"])),
    *(head(at=value) for value in ("now", None, float("nan"), float("inf"), 1e300, 0.0)),
    *(head(**{"try": value}) for value in ("1", None, [1], {"a": 1}, 0, 2)),
    *(head(cleared=value) for value in [None, "", {"a": 1}, [None], 5]),
]
NO_PAGES: list[Any] = [
    *(None, "text", 7, {}, [], PAGE[:1], {"0": PAGE}, [PAGE], 600 * PAGE),
    *([PAGE[0], value] for value in (None, 7, "", "a b", "None", ["a"], "[]", "x\n", {"a": 1})),
]


@pytest.mark.parametrize(
    ("key", "garbage"),
    [*(("push", head) for head in NO_HEADS), *(("push_page_0", page) for page in NO_PAGES)],
    ids=lambda value: f"{value!r:.60}",
)
def test_garbage_is_not_trusted_and_does_no_harm(key: str, garbage: Any, store: Store) -> None:
    clock = Clock()
    store.set("push", head())
    store.set("push_page_0", PAGE)
    assert second(store, clock=clock).read() == delivered(2)
    store.set(key, garbage)
    journal = second(store, clock=clock)
    assert journal.read() is None
    note(journal, 1, 2, 3)
    journal.close()
    assert TaskStateJournal(memory(store, 3), clock=clock).read() == delivered(3)
    journal.clear()
    assert "push" not in store.values


class Broken(Store):
    """A store in which *methods* fail."""

    def __init__(self, *methods: str) -> None:
        super().__init__()
        self.asked = 0
        for method in methods:
            setattr(self, method, self.fail)

    def fail(self, *arguments: Any, **keywords: Any) -> None:
        self.asked += 1
        raise RuntimeError("API_SERVER_ERROR")


@pytest.mark.parametrize("methods", [("get",), ("set",), ("delete",), ("get", "set", "delete")], ids=repr)
def test_a_store_that_fails_costs_a_repetition_and_is_logged_once(
    methods: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    store = Broken(*methods)
    journal = first(store)
    assert journal.read() is None
    note(journal, 1, 2)
    journal.close()
    journal.close()
    journal.clear()
    journal.clear()
    assert store.asked > 1
    assert caplog.text.count("a retry may repeat calls: RuntimeError") == 1
    assert second(store).read() is None or methods == ("delete",)


def test_what_could_not_be_written_is_written_later(store: Store) -> None:
    journal = first(store)
    note(journal, 1)
    store.set = Broken().fail  # type: ignore[method-assign]
    journal.close()
    del store.set
    note(journal, 2)
    journal.close()
    assert second(store).read() == delivered(2)


def test_before_airflow_3_3_there_is_no_journal() -> None:
    assert TaskStateJournal.of({}) is None
