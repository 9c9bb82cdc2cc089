"""The lines of figures: every key, one line a day and version."""

from __future__ import annotations

from typing import Any

from airflow_provider_batch.protocol.statistics.lines import lines

ENTRY = {"id": "o1", "name": "Spring", "labels": ["a"], "unknown": {"x": 1}}
AT = "2026-11-25T10:00:00+00:00"


def of(answer: dict[str, Any], entry: dict[str, Any] = ENTRY) -> list[dict[str, Any]]:
    return list(lines(entry, answer, "details", AT))


def test_a_day_is_a_line_with_every_key_of_both() -> None:
    answer = {"id": "o1", "currency": "EUR", "details": [{"date": "2026-11-24", "sent": 3, "new": [{"y": None}]}]}
    assert of(answer) == [
        {
            **ENTRY,
            "currency": "EUR",
            "version": None,
            "date": "2026-11-24",
            "sent": 3,
            "new": [{"y": None}],
            "read_at": AT,
        }
    ]


def test_each_version_is_a_line_beside_that_of_the_day() -> None:
    day = {"date": "2026-11-24", "platform": "ios", "sent": 3, "extra": 1}
    versions = [{"version": "a", "sent": 2}, {"version": "b", "sent": 1, "more": True}]
    assert of({"id": "o1", "details": [{**day, "versions": versions}]}) == [
        {**ENTRY, "version": None, **day, "read_at": AT},
        {**ENTRY, "date": "2026-11-24", "platform": "ios", "version": "a", "sent": 2, "read_at": AT},
        {**ENTRY, "date": "2026-11-24", "platform": "ios", "version": "b", "sent": 1, "more": True, "read_at": AT},
    ]


def test_versions_may_have_their_names_as_keys() -> None:
    found = of({"details": [{"date": "d", "versions": {"a": {"sent": 2}}}]})
    assert [(line["version"], line.get("sent")) for line in found] == [(None, None), ("a", 2)]


def test_versions_in_a_form_of_their_own_stay_as_they_are() -> None:
    assert of({"details": [{"date": "d", "versions": ["a", "b"]}]})[0]["versions"] == ["a", "b"]
    assert of({"details": [{"date": "d", "versions": None}]})[0]["versions"] is None


def test_of_a_key_in_both_none_is_lost() -> None:
    (line,) = of({"id": "o1", "details": [{"date": "d", "name": "of the day"}]})
    assert (line["name"], line["listed_name"], line["id"]) == ("of the day", "Spring", "o1")
    assert "listed_id" not in line  # it is the same


def test_of_a_key_around_the_days_none_is_lost() -> None:
    days = [{"date": "d", "sent": 3, "read_at": "theirs", "versions": [{"version": "a", "sent": 2}]}]
    total, version = of({"id": "o1", "sent": 7, "version": "2", "details": days}, {"id": "o1", "read_at": "listed"})
    day = {"id": "o1", "date": "d", "sent": 3, "answer_sent": 7, "version": None, "answer_version": "2"}
    assert total == {**day, "read_at": AT, "answer_read_at": "theirs", "listed_read_at": "listed"}
    assert (version["sent"], version["answer_sent"], version["version"], version["answer_version"]) == (2, 7, "a", "2")


def test_an_answer_in_another_form_is_one_line_as_it_is() -> None:
    assert of({"id": "o1", "details": {"sent": 7}}) == [{**ENTRY, "details": {"sent": 7}, "read_at": AT}]
    assert of({"id": "o1", "steps": [1]}) == [{**ENTRY, "steps": [1], "read_at": AT}]


def test_no_days_are_no_lines() -> None:
    assert of({"id": "o1", "details": []}) == []
