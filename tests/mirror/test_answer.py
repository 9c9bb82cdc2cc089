"""How the commands about mirrors answer."""

from __future__ import annotations

import io
import os
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_batch.mirror.answer import lines_of, open_answer
from airflow_provider_batch.mirror.status import Generation, IdStatus, MirrorStatus

NOT_CONFIRMED = "  not confirmed: Batch has accepted it, and nobody has seen yet that it is indexed"
IN_LAST = "in the last set, since generation"


def generation(number: int, size: int = 2) -> Generation:
    """One that was written at noon of a day of October, as a clock in Paris shows it."""
    paris = timezone(timedelta(hours=2))
    return Generation(number, size, datetime(2026, 10, number, 14, tzinfo=paris).astimezone(paris))


def status(*numbers: int, **fields: Any) -> MirrorStatus:
    generations = tuple(map(generation, numbers))
    found = MirrorStatus("vip", "custom_ids", generations, True, 0, 0, None, {})
    return replace(found, **fields)


def of_id(found: MirrorStatus, *numbers: int, uncertain: bool = False, rejected: bool = False) -> str:
    """The line about one id, which is in these generations."""
    last = [*lines_of(replace(found, ids={"some-id": IdStatus(numbers, uncertain, rejected)}))][-1]
    id_, separator, sentence = last.partition(": ")
    assert (id_, separator) == ("  some-id", ": ")
    return sentence


def test_all_that_is_known_of_a_mirror_is_said() -> None:
    found = status(is_confirmed=False, uncertain=1_500, rejected=1, at_work="dag/run/task")
    assert [*lines_of(found)] == [
        "  no run has ended yet",
        "  uncertain: up to 1,500 ids, which a run that did not end may have sent",
        "  rejected by Batch: 1 id",
        "  the next run sends these again",
        "  at work: dag/run/task",
    ]
    assert [*lines_of(replace(found, generations=(generation(7, 2_000),), uncertain=0))] == [
        "  generation 7, 2026-10-07 12:00:00 UTC: 2,000 ids (custom_ids)",
        NOT_CONFIRMED,
        "  rejected by Batch: 1 id",
        "  the next run sends these again",
        "  at work: dag/run/task",
    ]
    assert [*lines_of(status(7, uncertain=1))] == [
        "  generation 7, 2026-10-07 12:00:00 UTC: 2 ids (custom_ids)",
        "  confirmed: Batch has indexed it",
        "  uncertain: up to 1 id, which a run that did not end may have sent",
        "  the next run sends these again",
    ]


def test_times_are_those_of_utc_wherever_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        lines = [*lines_of(status(7))]
    time.tzset()
    assert lines[0] == "  generation 7, 2026-10-07 12:00:00 UTC: 2 ids (custom_ids)"


@pytest.mark.parametrize("is_confirmed", [False, True])
def test_batch_says_nothing_more_of_profiles(is_confirmed: bool) -> None:
    found = status(2, audience_name="profiles.app", audience_type="profiles", is_confirmed=is_confirmed)
    assert [*lines_of(found)] == [
        "  generation 2, 2026-10-02 12:00:00 UTC: 2 ids (profiles)",
        "  accepted by Batch, which reports nothing more about profiles",
    ]
    assert of_id(found, 2) == f"{IN_LAST} 2, 2026-10-02 12:00:00 UTC, or earlier"


@pytest.mark.parametrize(
    ("kept", "has_it", "sentence"),
    [
        ((1,), (1,), f"{IN_LAST} 1, 2026-10-01 12:00:00 UTC"),
        ((2,), (2,), f"{IN_LAST} 2, 2026-10-02 12:00:00 UTC, or earlier"),
        ((3, 2), (3,), f"{IN_LAST} 3, 2026-10-03 12:00:00 UTC"),
        ((3, 2), (3, 2), f"{IN_LAST} 2, 2026-10-02 12:00:00 UTC, or earlier"),
        (
            (9, 4),
            (9,),
            f"{IN_LAST} 9, 2026-10-09 12:00:00 UTC, or an earlier one after generation 4, 2026-10-04 12:00:00 UTC",
        ),
        ((9, 4), (9, 4), "in the last set, and in that of generation 4, 2026-10-04 12:00:00 UTC"),
        ((3, 2), (2,), "not in the last set; removed with generation 3, 2026-10-03 12:00:00 UTC"),
        ((4, 2), (2,), "not in the last set; removed after generation 2, 2026-10-02 12:00:00 UTC"),
        ((9, 4), (4,), "not in the last set; removed after generation 4, 2026-10-04 12:00:00 UTC"),
        (
            (3, 2),
            (),
            "not in the last set, nor in any that is kept (from generation 2): the source did not yield it, or it was "
            "skipped as invalid",
        ),
        (
            (9, 4),
            (),
            "not in the last set, nor in any that is kept (generations 4 and 9): the source did not yield it, or it "
            "was skipped as invalid",
        ),
    ],
)
def test_since_when_an_id_is_or_is_not_in_the_last_set(
    kept: tuple[int, ...], has_it: tuple[int, ...], sentence: str
) -> None:
    assert of_id(status(*kept), *has_it) == sentence


@pytest.mark.parametrize(
    ("kept", "has_it", "is_told"),
    [((1,), (1,), True), ((9, 4), (9,), True), ((3, 2), (3, 2), False), ((3,), (), False)],
)
def test_what_only_the_last_run_has_sent_is_as_confirmed_as_that(
    kept: tuple[int, ...], has_it: tuple[int, ...], is_told: bool
) -> None:
    confirmed = of_id(status(*kept), *has_it)
    assert of_id(status(*kept, is_confirmed=False), *has_it) == confirmed + "; not confirmed" * is_told


def test_what_is_not_certain_of_an_id_follows_what_is() -> None:
    rejected = "Batch rejected it, so it was neither added nor removed"
    uncertain = "a run that did not end may have added or removed it"
    member = f"{IN_LAST} 1, 2026-10-01 12:00:00 UTC"
    assert of_id(status(1), 1, rejected=True) == f"{member}; {rejected}"
    assert of_id(status(1), 1, uncertain=True) == f"{member}; {uncertain}"
    assert of_id(status(1), 1, uncertain=True, rejected=True) == f"{member}; {rejected}; {uncertain}"
    assert of_id(status(), uncertain=True, rejected=True) == f"{rejected}; {uncertain}"
    assert of_id(status()) == "unknown, as no run has ended yet"


def test_nothing_but_the_answer_is_printed_until_it_is_complete(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), open_answer() as answer:  # noqa: PT012 - at its end
        print("é in the answer", file=answer)
        os.write(1, b"logged\n")
        raise ZeroDivisionError
    os.write(1, b"afterwards\n")
    assert capfd.readouterr() == ("é in the answer\nafterwards\n", "logged\n")
    assert answer.closed


def test_the_answer_is_in_the_encoding_of_the_output(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    with open_answer() as answer:
        print("é", file=answer)
    assert capfdbinary.readouterr().out == b"\xe9\n"
