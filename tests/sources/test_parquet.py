from __future__ import annotations

import gzip
import sys
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet as pq

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.audiences.members import Change, Member
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.files import FileSource
from tests.sources.reading import count_and_growth, placed, values


@pytest.fixture
def ids(tmp_path: Path) -> Any:
    """Return a function that writes a file and returns its source."""

    def write(table: dict[str, Any], columns: Columns | None = None, **options: Any) -> FileSource:
        pq.write_table(pa.table(table), tmp_path / "ids.parquet", **options)
        return FileSource(tmp_path / "ids.parquet", columns)

    return write


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pa.array(["a", None, "é"]), ["a", None, "é"]),
        (pa.array(["a", None, "é"], pa.large_string()), ["a", None, "é"]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.array([1, 2, 3]), ["1", "2", "3"]),
        (pa.array([1, None, 3], pa.uint64()), [1, None, 3]),
        (pa.array([b"a", None, "é".encode()]), ["a", None, "é"]),
        (pa.array([b"a", None], pa.large_binary()), ["a", None]),
        (pa.array([b"a", b"a"]).dictionary_encode(), ["a", "a"]),
        (pa.array([b"a", b"\xff"]), ["a", b"\xff"]),
        (pa.array([Decimal(7), Decimal(10**37)], pa.decimal128(38, 0)), ["7", "1" + "0" * 37]),
        (pa.array([Decimal(7), None], pa.decimal128(38, 0)), [7, None]),
        (pa.array([None], pa.null()), [None]),
    ],
    ids=str,
)
def test_a_column_of_any_type_is_read(ids: Any, cells: Any, expected: list[object]) -> None:
    assert values(ids({"x": cells})) == expected


def test_moments_in_nanoseconds_are_those_of_python(ids: Any) -> None:
    cells = pa.array([1_769_860_800_123_456_789, None], pa.timestamp("ns", "UTC"))
    columns = Columns("id", attribute_columns=["at"])
    moment = datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)
    first, second = values(ids({"id": ["a", "b"], "at": cells}, columns))
    assert isinstance(first, Member)
    assert type((first.attributes or {})["at"]) is datetime  # that of pandas is equal, too
    assert (first, second) == (Member("a", {"at": moment}), Member("b"))


def test_a_moment_that_python_cannot_hold_fails_for_good(ids: Any) -> None:
    source = ids({"id": ["a"], "at": pa.array([2**62], pa.timestamp("us"))}, Columns("id", attribute_columns=["at"]))
    with pytest.raises(SourceError, match="OverflowError"):
        values(source)


def test_rows_are_counted_over_row_groups(ids: Any) -> None:
    names = [f"customer-{number}" for number in range(1, 2501)]
    for size in (7, 1000, 10_000):
        found = placed(ids({"x": [1] * 2500, "ID": names}, Columns("id"), row_group_size=900), size)
        assert found == [(name, f"ids.parquet, row {number:,}") for number, name in enumerate(names, 1)]


def test_attributes_tags_and_actions(ids: Any) -> None:
    table = {
        "tags": [["vip"], None],
        "id": ["a", "b"],
        "do": pa.array(["add", "remove"]).dictionary_encode(),
        "points": [1, None],
        "left out": [1, 2],
    }
    assert values(ids(table, Columns("id", "do", {"points": "p"}, "tags"))) == [
        Change("add", Member("a", {"p": 1}, ["vip"])),
        Change("remove", Member("b")),
    ]


def test_a_missing_column_is_named(ids: Any) -> None:
    with pytest.raises(SourceError, match=r"ids.parquet: there is no column 'user'; it has 2 columns"):
        values(ids({"id": ["a"], "x": [1]}, Columns("user")))


def test_a_file_without_rows_is_accepted(ids: Any) -> None:
    assert values(ids({"id": pa.array([], pa.string())})) == []


def test_an_error_names_a_file_that_is_truncated_or_not_parquet(ids: Any, tmp_path: Path) -> None:
    source = ids({"id": [f"customer-{number}" for number in range(10_000)]})
    whole = (tmp_path / "ids.parquet").read_bytes()
    for content in (b"", b"id\na\n", whole[:-1], whole[: len(whole) // 2], b"PAR1" + b"\0" * 1000 + b"PAR1"):
        (tmp_path / "ids.parquet").write_bytes(content)
        with pytest.raises(SourceError, match=r"ids.parquet: the file is truncated, damaged or not Parquet") as caught:
            values(source)
        assert not caught.value.retryable


def test_an_error_names_a_file_that_is_damaged_within(ids: Any, tmp_path: Path) -> None:
    source = ids({"id": [f"customer-{number}" for number in range(10_000)]}, use_dictionary=False)
    whole = bytearray((tmp_path / "ids.parquet").read_bytes())
    whole[40:2000] = b"\xff" * 1960
    (tmp_path / "ids.parquet").write_bytes(whole)
    with pytest.raises(SourceError, match=r"ids.parquet: the file is truncated, damaged or not Parquet") as caught:
        values(source)
    assert caught.value.__context__ is None


def test_parquet_in_gzip_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "ids.parquet.gz").write_bytes(gzip.compress(b"PAR1"))
    with pytest.raises(SourceError, match=r"ids.parquet.gz: a Parquet file cannot be read through gzip"):
        values(FileSource(tmp_path / "ids.parquet.gz"))


def test_without_pyarrow_the_extra_is_named(ids: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ids({"id": ["a"]})
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(SourceError, match=r"needs pyarrow\. Run pip install 'airflow-provider-batch\[parquet\]'"):
        values(source)


def test_a_million_rows_in_one_group_need_little_memory(ids: Any) -> None:
    table = {"id": [f"customer-{number:011d}" for number in range(1_000_000)], "x": ["x" * 20] * 1_000_000}
    count_and_growth(ids({"id": table["id"][:20_000], "x": table["x"][:20_000]}, Columns("id")))
    source = ids(table, Columns("id"))
    del table
    pa.default_memory_pool().release_unused()
    seen, grown = count_and_growth(source)
    assert seen == 1_000_000
    assert grown < 40 << 20


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (pa.array([1.0, None]), "double"),
        (pa.array([True]), "bool"),
        (pa.array([Decimal("7.00")]), r"decimal128\(3, 2\)"),
        (pa.array([1], pa.timestamp("us")), r"timestamp\[us\]"),
        (pa.array([{"c-1": 1}]), "struct"),
        (pa.array([["a"]]), "list"),
        (pa.array([b"0" * 16], pa.binary(16)), r"fixed_size_binary\[16\]"),
    ],
    ids=str,
)
def test_a_column_whose_values_are_no_ids_is_refused(ids: Any, cells: Any, kind: str) -> None:
    with pytest.raises(
        SourceError,
        match=rf"^ids.parquet: the id's column is of type {kind}, whose values are not valid ids. Write the column as "
        r"text or as integers, with pandas as astype\('string'\) or astype\('Int64'\).$",
    ):
        values(ids({"x": cells}))


def test_bytes_of_other_columns_are_text_too(ids: Any) -> None:
    table = {
        "id": [b"a"],
        "do": [b"remove"],
        "city": ["Köln".encode()],
        "n": pa.array([Decimal(5)], pa.decimal128(38, 0)),
    }
    assert values(ids(table, Columns("id", "do", ["city", "n"]))) == [
        Change("remove", Member("a", {"city": "Köln", "n": 5}))
    ]


def test_control_characters_are_kept_in_their_rows(ids: Any) -> None:
    assert placed(ids({"id": ["a\0", "\ufeffb", "\x1a"]})) == [
        ("a\0", "ids.parquet, row 1"),
        ("\ufeffb", "ids.parquet, row 2"),
        ("\x1a", "ids.parquet, row 3"),
    ]


def test_of_a_file_in_s3_the_selected_columns_are_downloaded(s3: Any, s3_sent: Counter[str], tmp_path: Path) -> None:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    numbers = range(500_000)
    others = [f"{number * 2654435761 % 2**32:08x}" for number in numbers]
    columns = {"x": others, "id": [f"customer-{number:011d}" for number in numbers], "y": others[::-1], "z": others}
    pq.write_table(pa.table(columns), tmp_path / "whole.parquet")
    pq.write_table(pa.table({"id": columns["id"], "y": columns["y"]}), tmp_path / "selected.parquet")
    whole, selected = ((tmp_path / name).stat().st_size for name in ("whole.parquet", "selected.parquet"))
    s3.upload_file(str(tmp_path / "whole.parquet"), "bucket", f"{tmp_path.name}.parquet")
    path = ObjectStoragePath(f"s3://aws_default@bucket/{tmp_path.name}.parquet")
    assert len(values(FileSource(path, Columns("id", None, ["y"])))) == 500_000
    footer = 1 << 16  # as much of the end is read at first
    assert selected < s3_sent[f"/bucket/{tmp_path.name}.parquet"] < selected + 2 * footer < whole / 2
