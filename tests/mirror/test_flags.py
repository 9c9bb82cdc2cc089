"""Which attributes were set on each profile: flags by a list of names, and the file of those of all profiles."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

import pytest

from airflow_provider_batch.mirror.diff import Difference
from airflow_provider_batch.mirror.flags import FlagFile, Names, union, without


def test_a_name_keeps_its_place_and_new_ones_come_last() -> None:
    names = Names(["score", "plan"]).including({"born", "age", "plan"})
    assert names.keys == ("score", "plan", "age", "born")
    assert names.keys_of("01") == ("plan",)
    assert names.keys_of("1011") == ("score", "age", "born")
    assert names.keys_of("") == ()


def test_an_attribute_has_one_type_at_a_time() -> None:
    names = Names(["born", "plan"])
    assert names.including(["date(born)"]).keys == ("date(born)", "plan")
    assert names.including(["date(born)"]).flags(("born",)) == "1"
    assert names.including(["born", "date(born)"]).keys == ("date(born)", "plan")
    assert Names(["date(born)"]).with_new(["born", "plan"]).keys == ("date(born)", "plan")


def test_flags_end_with_the_last_that_is_set() -> None:
    names = Names(f"n{number}" for number in range(100))
    assert names.flags(()) == ""
    assert names.flags(("n0",)) == "1"
    assert names.flags(("n99", "n1")) == "01" + "0" * 97 + "1"
    assert names.flags(("unknown",)) == ""


@pytest.mark.parametrize(
    ("texts", "expected"), [(("",), ""), (("1", "01"), "11"), (("", "001", "1"), "101"), (("10", "1000"), "1000")]
)
def test_a_flag_is_set_in_the_union_if_it_is_in_any(texts: tuple[str, ...], expected: str) -> None:
    assert union(*texts) == expected


@pytest.mark.parametrize(
    ("flags", "others", "expected"), [("11", "01", "10"), ("1", "011", "100"), ("0101", "", "0101"), ("", "", "")]
)
def test_what_is_deleted_is_not_set(flags: str, others: str, expected: str) -> None:
    assert without(flags, others) == expected


def given(id_: str, attributes: str) -> str:
    return f'{id_}\x01"attributes":{{{attributes}}}'


def lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().split("\n")[:-1]


def flag_file(path: Path, old: Iterable[str], noted: Iterable[str] = ()) -> FlagFile:
    parts = ("".join(f"{line}\n" for line in part.split()).encode() for part in old)
    return FlagFile(Names(["plan", "score", "tags"]), parts, iter(noted), path)


def test_what_differs_gets_new_flags_and_the_rest_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "flags.gz"
    file = flag_file(
        path, ["a\x011 b\x0101 c\x011", "d\x01111 e\x011", "f\x011 g\x0101"], ["c\x01001", "c\x0101", "d\x011"]
    )
    adds = [given("b", '"plan":"x"'), given("bb", ""), given("c", '"plan":null,"score":2')]
    assert file.add(Difference(adds, ["aa"])) == (["aa\x01", "b\x0111", "bb\x01", "c\x01111"], ["aa\x01"])
    assert file.add(Difference([], ["d", "f"])) == (["d\x01111", "f\x011"], ["d\x01111", "f\x011"])
    file.copy_rest()
    file.close()
    assert lines(path) == ["a\x011", "b\x0111", "bb\x01", "c\x01011", "e\x011", "g\x0101"]


def test_items_that_are_added_or_removed_count_as_set(tmp_path: Path) -> None:
    file = flag_file(tmp_path / "flags.gz", [])
    touched, _ = file.add(Difference([given("a", '"tags":{"$add":["x"]}'), given("b", '"tags":{"$remove":["x"]}')], []))
    assert touched == ["a\x01001", "b\x01001"]
    file.close()


def test_ids_that_begin_like_others_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "flags.gz"
    file = flag_file(path, ["a\x011 ab\x0101 ab\x02!\x011"])
    assert file.add(Difference([given("ab", '"plan":1')], []))[0] == ["ab\x0111"]
    file.copy_rest()
    file.close()
    assert lines(path) == ["a\x011", "ab\x0111", "ab\x02!\x011"]


def test_a_run_without_a_last_set_has_only_its_own_flags(tmp_path: Path) -> None:
    path = tmp_path / "flags.gz"
    file = flag_file(path, [])
    assert file.add(Difference([given("a", '"score":1'), given("b", "")], [])) == (["a\x0101", "b\x01"], [])
    file.copy_rest()
    file.close()
    assert lines(path) == ["a\x0101", "b\x01"]


def test_what_is_copied_is_counted(tmp_path: Path) -> None:
    file = flag_file(tmp_path / "flags.gz", ["a\x011 b\x011", "c\x011 d\x011 e\x011"])
    file.add(Difference([], ["a"]))
    file.copy_rest()
    file.close()
    assert file._file.count == 4
