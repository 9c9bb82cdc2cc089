"""Checks of a DAG author's arguments: one of a few words, a number, a limit, a list that was rendered as text."""

from __future__ import annotations

import ast
import codecs
import csv
import json
import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, Literal, get_args

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.limits import MAX_PROFILES_PER_MASS_UPDATE, MAX_PROFILES_PER_UPDATE

IfExists = Literal["skip", "fail"]
IfMissing = Literal["skip", "fail"]
OnInvalidId = Literal["fail", "skip"]
OnRejectedChunk = Literal["fail", "bisect"]
FirstRun = Literal["add", "replace"]
OnDrift = Literal["warn", "fail", "ignore"]
Mode = Literal["add", "remove", "actions", "replace", "mirror"]
ProfileMode = Literal["update", "changed"]
RouteName = Literal["auto", "update", "mass-update"]
Nulls = Literal["keep", "clear"]
OnGone = Literal["keep", "clear"]
MappedBy = Literal["id", "audience"]
FileFormat = Literal["txt", "csv", "jsonl", "parquet"]
ExportType = Literal["attributes", "events", "reachability"]
Compression = Literal["gzip"]
OnMissing = Literal["fail", "skip"]

#: The values that each of these parameters accepts.
CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "if_exists": get_args(IfExists),
    "if_missing": get_args(IfMissing),
    "on_invalid_id": get_args(OnInvalidId),
    "on_rejected_chunk": get_args(OnRejectedChunk),
    "first_run": get_args(FirstRun),
    "on_drift": get_args(OnDrift),
    "mode": get_args(Mode),
    "route": get_args(RouteName),
    "nulls": get_args(Nulls),
    "on_gone": get_args(OnGone),
    "mapped_by": get_args(MappedBy),
    "format": get_args(FileFormat),
    "export_type": get_args(ExportType),
    "compression": get_args(Compression),
    "on_missing": get_args(OnMissing),
}

#: The modes of all transfers, of which ``default_args`` may name any.
TRANSFER_MODES: Final = (*get_args(Mode), *get_args(ProfileMode))

_NATIVE_ADVICE: Final = "Pass the upstream task's .output, or set render_template_as_native_obj=True on the DAG."


def check_choice(name: str, value: object, choices: Collection[str] = ()) -> None:
    """
    Check that *value* is one of *choices*; those of most parameters are in :data:`CHOICES`.

    :raises InvalidArgumentError: if it is not.
    """
    choices = choices or CHOICES[name]
    if value not in choices:
        words = [repr(choice) for choice in choices]
        expected = " or ".join(words) if len(words) <= 2 else f"one of {', '.join(choices)}"
        raise InvalidArgumentError(f"{name}: {value!r:.80} is not {expected}")


def check_count(name: str, value: object, most: int) -> int:
    """
    Return *value* if it is an integer from 1 to *most*.

    :raises InvalidArgumentError: if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidArgumentError(f"{name}: {value!r:.80} is not an integer from 1 to {most:,}")
    return value


def check_profiles_per_call(chunk_size: int | None, route: str) -> None:
    """
    Check that *chunk_size* is None, or at most what the route takes.

    :raises InvalidArgumentError: if it is not.
    """
    if chunk_size is not None:
        check_count(
            "chunk_size", chunk_size, MAX_PROFILES_PER_UPDATE if route == "update" else MAX_PROFILES_PER_MASS_UPDATE
        )


def check_days(name: str, value: object) -> None:
    """Check that *value* is a number of days."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidArgumentError(f"{name}: {value!r:.80} is not a number of days. Pass an int, 0 for none.")


def check_limit(limit: object, name: str) -> None:
    """
    Check that *limit* is a count (int), a share of a whole (float) or None.

    :raises InvalidArgumentError: if it is not.
    """
    if limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0):
        return
    if not isinstance(limit, float) or not 0.0 <= limit <= 1.0:
        raise InvalidArgumentError(f"{name}: {limit!r:.80} is neither a count nor a share from 0.0 to 1.0")


def read_limit(limit: object, name: str) -> float | None:
    """
    Return a limit that a template may have turned into text: ``5000`` is a count, ``0.5`` a share, empty is None.

    :raises InvalidArgumentError: if it is not a limit.
    """
    value = limit
    if isinstance(limit, str):
        with suppress(ValueError):  # other texts fail the check below
            value = None if limit.strip() in ("", "None") else float(limit) if "." in limit else int(limit)
    check_limit(value, name)
    return value  # type: ignore[return-value]  # it was checked


def most(limit: float | None, whole: int) -> float | None:
    """Return how many of *whole* the limit allows; None if there is no limit."""
    return limit * whole if isinstance(limit, float) else limit


def read_seconds(name: str, value: float | timedelta) -> float:
    """
    Return a duration in seconds.

    :raises InvalidArgumentError: if it is not a duration above 0.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < math.inf:
        raise InvalidArgumentError(f"{name}: {value!r:.80} is not a duration. Pass seconds above 0, or a timedelta.")
    return number


def read_switch(name: str, value: bool | str) -> bool:
    """
    Return a switch that a template may have turned into text.

    :raises InvalidArgumentError: if it is not a switch.
    """
    switches = {"true": True, "false": False, "": False}
    if not isinstance(value, bool | str) or str(value).lower() not in switches:
        raise InvalidArgumentError(f"{name}: {value!r:.80} is neither True nor False")
    return switches[str(value).lower()]


def check_attribute_columns(name: str, given: object) -> None:
    """Check that *given* is a list of columns, or a dict from columns to attributes that are named once each."""
    if given is None:
        return
    if isinstance(given, str) or not isinstance(given, Collection):
        raise InvalidArgumentError(
            f"{name}: a single {type(given).__name__} is not a list of columns. Pass a list of str."
        )
    names = list(given.values() if isinstance(given, Mapping) else given)
    if duplicates := [each for each in names if names.count(each) > 1]:
        raise InvalidArgumentError(f"{name}: the attribute {duplicates[0]!r} is named twice. Name each attribute once.")


def check_names(name: str, names: object) -> None:
    """Check that *names* is a list of texts, none of them empty, or None."""
    if names is None:
        return
    if isinstance(names, str) or not isinstance(names, Collection):
        raise InvalidArgumentError(f"{name}: a single {type(names).__name__} is not a list. Pass a list of str.")
    if not all(isinstance(each, str) and each for each in names):
        raise InvalidArgumentError(f"{name}: an entry is empty or not text. Pass a list of str.")


def check_column(name: str, column: object) -> None:
    """Check that *column* is the name of a column, or its number where columns have none."""
    if column is not None and (isinstance(column, bool) or not isinstance(column, str | int)):
        raise InvalidArgumentError(f"{name}: it is neither text nor a number. Pass one column's name.")


def check_null_values(name: str, values: Any) -> None:
    """Check that *values* is a list of texts."""
    if (
        isinstance(values, str)
        or not isinstance(values, Collection)
        or not all(isinstance(text, str) for text in values)
    ):
        raise InvalidArgumentError(rf"{name}: it is not a list of texts. Pass one such as ['', '\N', 'NULL'].")


def check_delimiter(name: str, delimiter: Any) -> None:
    """Check that *delimiter* can separate the cells of a CSV file."""
    try:
        csv.reader([], delimiter=delimiter)
        valid = delimiter not in '"\r\n'
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise InvalidArgumentError(
            f"{name}: {delimiter!r:.80} is not valid. Pass one character other than a quote or a line break."
        )


def check_encoding(name: str, encoding: Any) -> None:
    """Check that Python can decode text in *encoding*."""
    try:
        codecs.getincrementaldecoder(encoding)
        "".encode(encoding)
    except (LookupError, TypeError):
        raise InvalidArgumentError(
            f"{name}: {encoding!r:.80} is not a text encoding that Python supports. Pass one such as 'latin-1'."
        ) from None


def check_switch(name: str, value: object) -> None:
    """Check that *value* is True or False."""
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"{name}: {value!r:.80} is neither True nor False")


def check_optional_switch(name: str, value: object) -> None:
    """Check that *value* is True, False or None."""
    if value is not None:
        check_switch(name, value)


def check_compression(name: str, value: object) -> None:
    """Check that *value* is a compression, or None for none."""
    if value is not None:
        check_choice(name, value)


def list_in_text(text: str, argument: str) -> list[object]:
    """
    Return the list that a Jinja template without native rendering turned into *text*.

    :raises InvalidArgumentError: for any other text, whose characters must not be taken for ids.
    """
    for parse in (json.loads, ast.literal_eval) if text.lstrip().startswith("[") else ():
        try:
            values = parse(text.strip())
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(values, list):
            return values
    if text.strip() == "None":
        raise InvalidArgumentError(
            f"{argument}: the XCom that it was rendered from is missing. Return a list upstream, [] for none."
        )
    raise InvalidArgumentError(f"{argument}: a single str is not a list. {_NATIVE_ADVICE}")
