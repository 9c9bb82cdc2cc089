from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.arguments import (
    check_attribute_columns,
    check_choice,
    check_column,
    check_compression,
    check_count,
    check_days,
    check_delimiter,
    check_encoding,
    check_limit,
    check_names,
    check_null_values,
    check_optional_switch,
    check_profiles_per_call,
    check_switch,
    list_in_text,
    most,
    read_limit,
    read_seconds,
    read_switch,
)


@pytest.mark.parametrize("limit", [None, 0, 5000, 0.0, 0.5, 1.0])
def test_a_limit_is_a_count_a_share_or_none(limit: float | None) -> None:
    check_limit(limit, "max_shrink")
    assert read_limit(limit, "max_shrink") == limit


@pytest.mark.parametrize("limit", [-1, 1.5, -0.1, float("nan"), True, "10", "x", [1]])
def test_nothing_else_is(limit: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^max_shrink: .* is neither a count nor a share"):
        check_limit(limit, "max_shrink")


@pytest.mark.parametrize(
    ("text", "limit"), [("5000", 5000), ("1", 1), ("1.0", 1.0), (" 0.25 ", 0.25), ("", None), ("None", None)]
)
def test_a_template_may_say_it_in_text(text: str, limit: float | None) -> None:
    read = read_limit(text, "max_changes")
    assert (read, type(read)) == (limit, type(limit))


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "50%", "1e3", "nan", "{{ params.limit }}"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^max_changes: .* is neither a count nor a share"):
        read_limit(text, "max_changes")


def test_how_many_it_allows() -> None:
    assert (most(0.25, 8), most(3, 8), most(None, 8)) == (2.0, 3, None)


@pytest.mark.parametrize("max_concurrency", [0, -1, 65, True, 1.0, "4", None, 10**1000])
def test_a_number_of_calls_out_of_range_is_refused(max_concurrency: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^max_concurrency: .* is not an integer from 1 to 64$"):
        check_count("max_concurrency", max_concurrency, 64)


@pytest.mark.parametrize("max_concurrency", [1, 4, 64])
def test_a_number_of_calls_in_range_is_taken(max_concurrency: int) -> None:
    assert check_count("max_concurrency", max_concurrency, 64) == max_concurrency


@pytest.mark.parametrize(
    ("given", "seconds"), [(1, 1), (0.001, 0.001), (86_400, 86_400), (timedelta(minutes=1.5), 90.0)]
)
def test_a_time_is_a_number_of_seconds_or_a_timedelta(given: float | timedelta, seconds: float) -> None:
    assert read_seconds("timeout", given) == seconds


@pytest.mark.parametrize(
    "given", [0, 0.0, -1, timedelta(0), timedelta(seconds=-1), math.inf, math.nan, True, "10", None, [1]]
)
def test_nothing_else_is_a_time(given: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        read_seconds("timeout", given)
    assert str(caught.value) == f"timeout: {given!r} is not a duration. Pass seconds above 0, or a timedelta."


@pytest.mark.parametrize(
    ("given", "switch"),
    [
        *((True, True), (False, False), ("True", True), ("true", True), ("TRUE", True)),
        *(("False", False), ("false", False), ("", False)),
    ],
)
def test_a_switch_may_be_text(given: bool | str, switch: bool) -> None:
    assert read_switch("full_refresh", given) is switch


@pytest.mark.parametrize("given", [None, 0, 1, "0", "yes", "None", " true", b"true", []])
def test_nothing_else_is_a_switch(given: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        read_switch("full_refresh", given)
    assert str(caught.value) == f"full_refresh: {given!r} is neither True nor False"


@pytest.mark.parametrize(
    ("text", "values"), [('["a", null]', ["a", None]), ("['a', None]", ["a", None]), (" [1]\n", [1]), ("[]", [])]
)
def test_a_list_in_text_is_one_of_json_or_of_python(text: str, values: list[object]) -> None:
    assert list_in_text(text, "ids") == values


ADVICE = "Pass the upstream task's .output, or set render_template_as_native_obj=True on the DAG."


@pytest.mark.parametrize("text", ["", "a,b", "(1, 2)", "[1", "{}", "['a'] + x", "# ids\n['a']", "[" * 100_000])
def test_other_text_is_not_a_list(text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        list_in_text(text, "ids")
    assert str(caught.value) == f"ids: a single str is not a list. {ADVICE}"


@pytest.mark.parametrize("text", ["None", " None\n"])
def test_the_text_none_is_a_missing_xcom(text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        list_in_text(text, "ids")
    assert str(caught.value) == (
        "ids: the XCom that it was rendered from is missing. Return a list upstream, [] for none."
    )


@pytest.mark.parametrize(
    ("choices", "expected"),
    [(("a",), "'a'"), (("a", "b"), "'a' or 'b'"), (("a", "b", "c"), "one of a, b, c"), ((), "'add' or 'replace'")],
)
def test_a_word_that_is_none_is_refused_with_those_that_are(choices: tuple[str, ...], expected: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_choice("first_run", "x" * 100, choices)
    assert str(caught.value) == f"first_run: 'x{'x' * 78} is not {expected}"


def test_a_number_out_of_range_is_refused_with_the_range() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_count("chunk_size", 10_001, 10_000)
    assert str(caught.value) == "chunk_size: 10001 is not an integer from 1 to 10,000"


@pytest.mark.parametrize(("route", "most_profiles"), [("update", 200), ("mass-update", 10_000), ("auto", 10_000)])
def test_a_call_holds_as_many_profiles_as_its_route_takes(route: str, most_profiles: int) -> None:
    check_profiles_per_call(None, route)
    check_profiles_per_call(most_profiles, route)
    with pytest.raises(InvalidArgumentError) as caught:
        check_profiles_per_call(most_profiles + 1, route)
    assert str(caught.value) == f"chunk_size: {most_profiles + 1} is not an integer from 1 to {most_profiles:,}"


@pytest.mark.parametrize(
    ("check", "values"),
    [
        (check_attribute_columns, [None, ["a", "b"], {"a": "x", "b": "y"}, []]),
        (check_column, [None, "id", 0, 3]),
        (check_compression, [None, "gzip"]),
        (check_days, [0, 1, 3650]),
        (check_delimiter, [",", ";", "\t", "|", "X"]),
        (check_encoding, ["utf-8", "latin-1"]),
        (check_names, [None, [], ["a"], ("a", "b")]),
        (check_null_values, [[], ["", "NULL"], ("",)]),
        (check_optional_switch, [None, True, False]),
        (check_switch, [True, False]),
    ],
)
def test_what_is_valid_passes(check: Callable[[str, Any], None], values: list[Any]) -> None:
    for value in values:
        check("compression" if check is check_compression else "given", value)


TEXTS = r"it is not a list of texts. Pass one such as ['', '\N', 'NULL']."
SEPARATOR = "is not valid. Pass one character other than a quote or a line break."
CODEC = "is not a text encoding that Python supports. Pass one such as 'latin-1'."


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (check_attribute_columns, "a", "a single str is not a list of columns. Pass a list of str."),
        (check_attribute_columns, 7, "a single int is not a list of columns. Pass a list of str."),
        (
            check_attribute_columns,
            ["c", "b", "a", "b", "a"],
            "the attribute 'b' is named twice. Name each attribute once.",
        ),
        (check_attribute_columns, {"a": "x", "b": "x"}, "the attribute 'x' is named twice. Name each attribute once."),
        (check_column, True, "it is neither text nor a number. Pass one column's name."),
        (check_column, ["id"], "it is neither text nor a number. Pass one column's name."),
        (check_compression, "zip", "'zip' is not 'gzip'"),
        *(
            (check_days, value, f"{value!r} is not a number of days. Pass an int, 0 for none.")
            for value in (-1, True, 1.0, "1", None)
        ),
        *((check_delimiter, value, f"{value!r} {SEPARATOR}") for value in ('"', "\r", "\n", "", ",,", None, 7)),
        *((check_encoding, value, f"{value!r} {CODEC}") for value in ("utf-9", "rot13", "base64", None)),
        (check_names, "a", "a single str is not a list. Pass a list of str."),
        (check_names, 7, "a single int is not a list. Pass a list of str."),
        *((check_names, value, "an entry is empty or not text. Pass a list of str.") for value in (["a", ""], [7])),
        *((check_null_values, value, TEXTS) for value in ("NULL", None, [None], ["", 7])),
        (check_optional_switch, "x" * 100, f"'{'x' * 79} is neither True nor False"),
        *((check_switch, value, f"{value!r} is neither True nor False") for value in (None, 0, 1, "True")),
    ],
)
def test_what_is_not_is_refused_in_words(check: Callable[[str, Any], None], value: Any, message: str) -> None:
    name = "compression" if check is check_compression else "given"
    with pytest.raises(InvalidArgumentError) as caught:
        check(name, value)
    assert str(caught.value) == f"{name}: {message}"
