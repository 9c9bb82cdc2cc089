from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest

from airflow_provider_batch import exceptions
from airflow_provider_batch.exceptions import (
    AudienceExistsError,
    AudienceMissingError,
    BatchAPIError,
    BatchAuthenticationError,
    BatchConfigurationError,
    BatchConnectionError,
    BatchError,
    BatchNotFoundError,
    BatchProtocolError,
    BatchRateLimitError,
    BatchRequestError,
    BatchServerError,
    DriftError,
    EmptySetError,
    ExportError,
    ExportFailedError,
    ExportTimeoutError,
    GuardError,
    IndexingError,
    IndexingTimeoutError,
    InvalidArgumentError,
    InvalidMemberError,
    MirrorConflictError,
    MirrorError,
    PushStoppedError,
    ResultError,
    ResultExistsError,
    SnapshotError,
    SourceError,
    SourceUnavailableError,
    StatisticsMissingError,
    TooManyRejectedError,
    counted,
)

API = {"status": 400, "code": "API_MISUSE", "number": 12, "route": "GET /1.0/{api_key}", "retry_after": 9.5}

#: Class, its parents in the tree, whether it is retryable, its arguments.
TREE: list[tuple[type[BatchError], tuple[type, ...], bool, dict[str, object]]] = [
    (BatchError, (Exception,), False, {}),
    (InvalidArgumentError, (BatchError, ValueError), False, {}),
    (InvalidMemberError, (InvalidArgumentError,), False, {"argument": "add_ids", "position": 3, "reason": "no id"}),
    (AudienceExistsError, (BatchError,), False, {}),
    (AudienceMissingError, (BatchError,), False, {}),
    (GuardError, (BatchError,), False, {}),
    (EmptySetError, (GuardError,), False, {}),
    (TooManyRejectedError, (BatchError,), False, {}),
    (SourceError, (BatchError,), False, {}),
    (SourceUnavailableError, (SourceError,), True, {}),
    (BatchConfigurationError, (BatchError,), False, {}),
    (BatchConnectionError, (BatchError,), True, {}),
    (BatchAPIError, (BatchError,), False, API),
    (BatchAuthenticationError, (BatchAPIError,), False, API),
    (BatchNotFoundError, (BatchAPIError,), False, API),
    (BatchRequestError, (BatchAPIError,), False, API),
    (BatchRateLimitError, (BatchAPIError,), True, API),
    (BatchServerError, (BatchAPIError,), True, API),
    (BatchProtocolError, (BatchError,), True, {}),
    (PushStoppedError, (BatchError,), True, {}),
    (MirrorError, (BatchError,), False, {}),
    (SnapshotError, (MirrorError,), False, {}),
    (MirrorConflictError, (MirrorError,), True, {}),
    (DriftError, (MirrorError,), False, {}),
    (IndexingError, (BatchError,), False, {"audience_name": "vip", "indexing_token": "t0"}),
    (
        IndexingTimeoutError,
        (IndexingError,),
        True,
        {"audience_name": "vip", "indexing_token": "t0", "indexing_tokens": ("t0", "t1")},
    ),
    (ResultError, (BatchError,), True, {}),
    (ResultExistsError, (ResultError,), False, {}),
    (StatisticsMissingError, (ResultError,), False, {"missing": ("o1", "o2"), "retryable": False}),
    (ExportError, (ResultError,), True, {"export_id": "e1"}),
    (ExportFailedError, (ExportError,), True, {"export_id": "e1"}),
    (ExportTimeoutError, (ExportError,), True, {"export_id": "e1"}),
]
CLASSES = [kind for kind, *_ in TREE]


def test_the_tree_has_these_classes_and_no_other() -> None:
    public = [value for value in vars(exceptions).values() if isinstance(value, type)]
    assert public == CLASSES


@pytest.mark.parametrize(("kind", "parents"), [(kind, parents) for kind, parents, *_ in TREE])
def test_each_class_has_its_parents(kind: type[BatchError], parents: tuple[type, ...]) -> None:
    assert kind.__bases__ == parents


@pytest.mark.parametrize(("kind", "retryable"), [(kind, retryable) for kind, _, retryable, _ in TREE])
def test_each_class_is_retryable_or_permanent(kind: type[BatchError], retryable: bool) -> None:
    assert kind("no").retryable is retryable


@pytest.mark.parametrize("kind", CLASSES)
def test_each_class_is_in_the_tree_of_the_docstring(kind: type[BatchError]) -> None:
    assert kind.__name__ in (exceptions.__doc__ or "")


@pytest.mark.parametrize("kind", CLASSES)
def test_str_returns_the_message(kind: type[BatchError]) -> None:
    assert str(kind("no")) == "no"


@pytest.mark.parametrize(("kind", "attributes"), [(kind, attributes) for kind, *_, attributes in TREE])
def test_an_error_keeps_its_arguments(kind: type[BatchError], attributes: dict[str, object]) -> None:
    assert vars(kind("no", **attributes)) == attributes


@pytest.mark.parametrize(
    ("accepted", "text"),
    [
        (None, "no"),
        (0, "no (Batch had accepted 0 chunks of this push before)"),
        (1, "no (Batch had accepted 1 chunk of this push before)"),
        (1234, "no (Batch had accepted 1,234 chunks of this push before)"),
    ],
)
def test_the_message_counts_the_accepted_chunks(accepted: int | None, text: str) -> None:
    error = BatchServerError("no", status=500)
    error.accepted_chunks = accepted
    assert str(error) == text


@pytest.mark.parametrize("kind", [SourceError, SourceUnavailableError, InvalidArgumentError, InvalidMemberError])
def test_a_fault_before_any_call_does_not_speak_of_chunks(kind: type[BatchError]) -> None:
    error = kind("no")
    error.accepted_chunks = 0
    assert str(error) == "no"
    error.accepted_chunks = 2
    assert str(error) == "no (Batch had accepted 2 chunks of this push before)"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 calls"), (1, "1 call"), (2, "2 calls"), (1234567, "1,234,567 calls")]
)
def test_a_count_has_its_noun(number: int, text: str) -> None:
    assert counted(number, "call") == text


def test_the_message_counts_the_attempts() -> None:
    error = BatchServerError("no", status=500)
    error.attempts, error.accepted_chunks = 3, 1
    assert str(error) == "no (after 3 attempts; Batch had accepted 1 chunk of this push before)"


def test_the_count_belongs_to_one_error_only() -> None:
    BatchError("no").accepted_chunks = 3
    assert BatchError("no").accepted_chunks is None


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(("kind", "attributes"), [(kind, attributes) for kind, *_, attributes in TREE])
def test_an_error_survives_pickling(kind: type[BatchError], attributes: dict[str, object], protocol: int) -> None:
    error = kind("no", **attributes)
    error.accepted_chunks = 7
    again = pickle.loads(pickle.dumps(error, protocol))
    assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))


@pytest.mark.parametrize(("kind", "attributes"), [(kind, attributes) for kind, *_, attributes in TREE])
def test_an_error_survives_copying(kind: type[BatchError], attributes: dict[str, object]) -> None:
    error = kind("no", **attributes)
    again = copy.copy(error)
    assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))


def test_importing_the_errors_imports_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import airflow_provider_batch.exceptions;"
        "print(*sorted(set(sys.modules) - before - {'__future__', 'typing'}))"
    )
    # typing is imported first: its own imports do not count.
    ran = subprocess.run(
        [sys.executable, "-c", "import typing;" + code], check=True, capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.split() == ["airflow_provider_batch", "airflow_provider_batch.exceptions"]
