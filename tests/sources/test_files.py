from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet as pq

from airflow_provider_batch.exceptions import InvalidArgumentError, SourceError, SourceUnavailableError
from airflow_provider_batch.protocol.audiences.members import Member
from airflow_provider_batch.protocol.rows import BadRow
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.files import FileSource
from airflow_provider_batch.sources.paths import FoundFile
from tests.sources.reading import placed, values

Put = Callable[[str, bytes], None]


def parquet(*ids: str, x: list[Any] | None = None) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"ID": list(ids), "x": x or [1] * len(ids)}), file)
    return file.getvalue()


@pytest.fixture(params=["pathlib", "local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Put]:
    """Return a folder, and a function that puts a file into it."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    if request.param == "s3":
        s3 = request.getfixturevalue("s3")

        def put(name: str, content: bytes) -> None:
            s3.put_object(Bucket="bucket", Key=f"{tmp_path.name}/{name}", Body=content)

        return ObjectStoragePath(f"s3://aws_default@bucket/{tmp_path.name}"), put

    def write(name: str, content: bytes) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)

    return (tmp_path if request.param == "pathlib" else ObjectStoragePath(f"file://{tmp_path}")), write


ONE = {
    "ids.txt": b"a\nb\n",
    "ids.txt.gz": gzip.compress(b"a\n") + gzip.compress(b"b\n"),
    "ids.csv": b"id,x\na,1\nb,2\n",
    "IDS.CSV.GZ": gzip.compress(b"id,x\na,1\nb,2\n"),
    "ids.jsonl": b'{"id": "a"}\n{"id": "b"}\n',
    "ids.ndjson.gz": gzip.compress(b'{"id": "a"}\n{"id": "b"}\n'),
    "ids.parquet": parquet("a", "b"),
}


@pytest.mark.parametrize("name", ONE)
def test_a_file_of_each_format(storage: tuple[Any, Put], name: str) -> None:
    folder, put = storage
    put(name, ONE[name])
    source = FileSource(folder / name, Columns("id"))
    assert source.rereadable
    found = placed(source)
    assert [value for value, _ in found] == ["a", "b"]
    assert all(place.startswith(f"{name}, ") for _, place in found)
    assert placed(source) == found
    assert list(source) == ["a", "b"]


def test_a_folder_of_mixed_formats_is_read_by_name(storage: tuple[Any, Put]) -> None:
    folder, put = storage
    for number, name in enumerate(reversed(ONE)):
        put(f"{number}-{name}", ONE[name])
    put("_SUCCESS", b"")
    put(".hidden.csv", b"nonsense")
    put("inner/ids.txt", b"not read\n")
    found = placed(FileSource(folder, Columns("id")))
    assert [value for value, _ in found] == ["a", "b"] * len(ONE)
    assert found[0] == ("a", f"{folder.name}/0-ids.parquet, row 1")
    assert found[-1] == ("b", f"{folder.name}/{len(ONE) - 1}-ids.txt, line 2")


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [("part-*.txt", ["a", "b"]), ("part-?.txt", ["a", "b"]), ("part-[2].txt", ["b"]), ("day=*/*.txt", ["c"])],
)
def test_a_glob(storage: tuple[Any, Put], pattern: str, ids: list[str]) -> None:
    folder, put = storage
    for name, id_ in (("part-1.txt", "a"), ("part-2.txt", "b"), ("day=1/part-3.txt", "c"), ("other.txt", "d")):
        put(name, id_.encode())
    assert values(FileSource(folder / pattern)) == ids
    assert values(FileSource(type(folder)(f"{folder}/{pattern}"))) == ids


def test_a_missing_file_is_a_transient_error(storage: tuple[Any, Put]) -> None:
    folder, put = storage
    put("ids.csv", b"id\na\n")
    for name, message in (("none.csv", "there is no such file or folder"), ("none*.csv", "no file is there")):
        with pytest.raises(SourceUnavailableError, match=message):
            values(FileSource(folder / name))


def test_folders_that_hold_no_data_are_left_out(storage: tuple[Any, Put]) -> None:
    folder, put = storage
    for name in ("a.txt", "day=1/b.txt", "_day=2/c.txt", "day=3/_temporary/0/x.txt", "_delta_log/y.txt", ".z/z.txt"):
        put(name, name.encode())
    assert sorted(map(str, values(FileSource(folder / "**/*.txt")))) == ["_day=2/c.txt", "a.txt", "day=1/b.txt"]
    assert sorted(map(str, values(FileSource(folder / "*/*.txt")))) == ["_day=2/c.txt", "day=1/b.txt"]
    assert values(FileSource(folder / "_delta_log/*.txt")) == ["_delta_log/y.txt"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ids.csv", b"id,x\na,\n\\N,1\n#N/A,\\N\nNULL ,\n"),
        ("ids.csv.gz", gzip.compress(b"id,x\na,\n\\N,1\n#N/A,\\N\nNULL ,\n", mtime=0)),
        (
            "ids.jsonl",
            b'{"id": "a", "x": null}\n{"id": "\\\\N", "x": "1"}\n{"id": "#N/A", "x": "\\\\N"}\n{"id": "NULL "}\n',
        ),
        ("ids.parquet", parquet("a", "\\N", "#N/A", "NULL ", x=[None, "1", "\\N", None])),
    ],
)
def test_texts_that_mean_a_missing_value(storage: tuple[Any, Put], name: str, content: bytes) -> None:
    folder, put = storage
    put(name, content)
    nulls = ["", "\\N", "#N/A"]
    assert values(FileSource(folder / name, Columns("id"), null_values=nulls)) == ["a", None, None, "NULL "]
    assert values(FileSource(folder / name, Columns("id", None, ["x"]), null_values=nulls)) == [
        Member("a"),
        Member(None, {"x": "1"}),
        Member(None),
        Member("NULL "),
    ]
    assert values(FileSource(folder / name, Columns("id"))) == ["a", "\\N", "#N/A", "NULL "]


def test_missing_values_among_ids_alone(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a\nNULL\n")
    (tmp_path / "ids.jsonl").write_text('"a"\n"NULL"\n')
    for name in ("ids.txt", "ids.jsonl"):
        assert values(FileSource(tmp_path / name, null_values=["NULL"])) == ["a", None]
    (tmp_path / "ids.jsonl").write_text('"a"\n1.5\n"NULL"\n')
    assert values(FileSource(tmp_path / "ids.jsonl", null_values=["NULL"])) == ["a", 1.5, None]


def test_empty_text_is_missing_unless_the_values_say_otherwise(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text('id,x\na,\n"",NULL\n')
    columns = Columns("id", None, ["x"])
    assert values(FileSource(tmp_path / "ids.csv", columns)) == [Member("a"), Member("", {"x": "NULL"})]
    assert values(FileSource(tmp_path / "ids.csv", columns, null_values=["NULL"])) == [
        Member("a", {"x": ""}),
        Member(""),
    ]


@pytest.mark.parametrize("name", ONE)
def test_a_file_that_goes_between_listing_and_reading(storage: tuple[Any, Put], name: str, request: Any) -> None:
    folder, put = storage
    for number in (1, 2):
        put(f"{number}-{name}", ONE[name])
    blocks = FileSource(folder, Columns("id")).blocks(1)
    next(blocks)
    if str(folder).startswith("s3"):
        request.getfixturevalue("s3").delete_object(Bucket="bucket", Key=f"{folder.name}/2-{name}")
    else:
        (folder / f"2-{name}").unlink()
    with pytest.raises(SourceUnavailableError, match=f"2-{name}: the file cannot be read: "):
        list(blocks)


def test_a_missing_bucket_is_a_transient_error(s3: Any) -> None:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    with pytest.raises(SourceUnavailableError, match=r"s3://aws_default@nowhere/ids.csv: there is no such file"):
        values(FileSource(ObjectStoragePath("s3://aws_default@nowhere/ids.csv")))


def test_large_files_come_from_s3_in_pieces(s3: Any) -> None:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    lines = [f"customer-{number:011d},{'x' * 40}" for number in range(400_000)]
    s3.put_object(Bucket="bucket", Key="large.csv", Body="\n".join(["id,x", *lines]).encode())
    path = ObjectStoragePath("s3://aws_default@bucket/large.csv")
    assert len(values(FileSource(path, Columns("id")))) == 400_000
    # The server runs in this process, so the process's memory proves nothing.
    with FoundFile(path, "large.csv").open() as file:
        assert file.blocksize == 8 << 20  # type: ignore[attr-defined]  # fsspec's


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"user\na\n", "there is no column 'id'; it has 1 column"),
        (gzip.compress(b"id\na", mtime=0), "Add .gz to the name of this gzip file"),
        (b'id,"x\na,1\n', "the rows from here on cannot be separated"),
    ],
)
def test_a_fault_in_the_last_file_names_it(tmp_path: Path, content: bytes, message: str) -> None:
    for number in range(6):
        (tmp_path / f"{number}.csv").write_bytes(b"id\na\n")
    (tmp_path / "6.csv").write_bytes(content)
    with pytest.raises(SourceError, match=rf"{tmp_path.name}/6.csv.*{message}"):
        values(FileSource(tmp_path, Columns("id")))


def test_an_unknown_suffix_needs_a_format(tmp_path: Path) -> None:
    for name, fault in (("ids.dat", "the suffix '.dat' is unknown"), ("ids", "the name has no suffix")):
        (tmp_path / name).write_bytes(b"a\n")
        with pytest.raises(SourceError, match=f"{name}: {fault}. Pass format=, one of txt, csv, jsonl, parquet."):
            values(FileSource(tmp_path / name))
        assert values(FileSource(tmp_path / name, format="txt")) == ["a"]
    (tmp_path / "ids.dat.gz").write_bytes(gzip.compress(b"id\na\n"))
    assert values(FileSource(tmp_path / "ids.dat.gz", format="csv")) == ["a"]


def test_empty_parts_are_accepted_unless_all_are_empty(tmp_path: Path) -> None:
    for name in ("a.csv", "b.txt", "c.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(SourceError, match="all files are empty"):
        values(FileSource(tmp_path, Columns("id")))
    assert values(FileSource(tmp_path, Columns("id"), allow_empty=True)) == []
    (tmp_path / "d.csv").write_bytes(b"id\na\n")
    assert values(FileSource(tmp_path, Columns("id"))) == ["a"]


def test_the_files_are_the_same_the_second_time(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("b\n")
    source = FileSource(tmp_path)
    assert values(source) == ["b"]
    (tmp_path / "a.txt").write_text("a\n")
    assert values(source) == ["b"]
    (tmp_path / "b.txt").unlink()
    with pytest.raises(SourceUnavailableError, match=r"b.txt: the file cannot be read: No such file or directory"):
        values(source)


def test_a_truncated_gzip_file_gives_the_rows_before_its_end(tmp_path: Path) -> None:
    whole = gzip.compress("\n".join(map(str, range(1_000_000))).encode())
    (tmp_path / "ids.txt.gz").write_bytes(whole[: len(whole) // 2])
    blocks = FileSource(tmp_path / "ids.txt.gz").blocks(10_000)
    assert next(blocks).values[:2] == ["0", "1"]
    with pytest.raises(SourceError, match=r"ids.txt.gz: the gzip file is truncated"):
        list(blocks)


def test_files_are_closed_when_reading_ends_early(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("id\n" + "a\n" * 500_000)
    blocks = FileSource(tmp_path / "ids.csv").blocks(10)
    next(blocks)
    assert psutil.Process().open_files()
    del blocks
    assert str(tmp_path / "ids.csv") not in [file.path for file in psutil.Process().open_files()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "xlsx"}, "format: 'xlsx' is not one of txt, csv, jsonl, parquet"),
        ({"delimiter": "::"}, "delimiter: '::' is not valid. Pass one character"),
        ({"delimiter": ""}, "delimiter: '' is not valid"),
        ({"delimiter": "\n"}, r"delimiter: '.n' is not valid"),
        ({"delimiter": '"'}, "is not valid. Pass one character other than a quote"),
        ({"null_values": "NULL"}, "null_values: it is not a list of texts"),
        ({"null_values": [None]}, "null_values: it is not a list of texts"),
        ({"encoding": "utf-9"}, "encoding: 'utf-9' is not a text encoding that Python supports"),
        ({"encoding": "base64"}, "encoding: 'base64' is not a text encoding that Python supports"),
    ],
)
def test_invalid_arguments_are_rejected_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        FileSource(Path("nowhere"), **options)


def test_no_error_and_no_repr_contains_an_id(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text('jane@example.com,4815162342\n"jane@example.com"x,1\njane@example.com\n')
    with pytest.raises(SourceError) as caught:
        values(FileSource(tmp_path / "ids.csv", Columns("id")))
    rows = next(FileSource(tmp_path / "ids.csv", Columns("1"), header=False).blocks(10))
    shown = f"{caught.value!r}{rows!r}"
    bad = values(FileSource(tmp_path / "ids.csv", Columns("1"), header=False))[1:]
    assert all(isinstance(row, BadRow) for row in bad)
    assert "jane" not in shown + repr(bad)
    assert "4815162342" not in shown
