from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batch.sandbox.attributes import cep_attributes, mep_attributes, tags
from airflow_provider_batch.sandbox.errors import Rejected

URLS = ["https://example.com/a?b=c", "http://localhost:8000"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "Zoé"),
        ("name", ""),
        ("age", 42),
        ("score", -0.5),
        *(("url(page)", url) for url in URLS),
    ],
)
def test_both_accept_strings_numbers_and_urls(key: str, value: object) -> None:
    element = {"attributes": {key: value}}
    assert cep_attributes(element, "ids[0]") == mep_attributes(element, "ids[0]") == {key: value}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("flag", True),
        ("flag", None),
        ("flag", {}),
        ("list", [1]),
        ("list", [["a"]]),
        ("huge", float("inf")),
        ("", "a"),
        ("date()", "2012-08-12T22:30:05Z"),
        ("date(born", "2012-08-12T22:30:05Z"),
        ("datetime(born)", "2012-08-12T22:30:05Z"),
        ("date(born)", "2012-08-12"),
        ("date(born)", "2012-08-12 22:30:05Z"),
        ("date(born)", "2012-13-12T22:30:05Z"),
        ("date(born)", "2012-02-30T22:30:05"),
        ("date(born)", "soon"),
        ("date(born)", 1_344_810_605),
        ("date(born)", None),
        ("url(page)", "example.com"),
        ("url(page)", "ftp://example.com"),
        ("url(page)", "https://"),
        ("url(page)", "https://exa mple.com"),
        ("url(page)", "https://[::1"),
        ("url(page)", 7),
    ],
)
def test_both_reject(key: str, value: object) -> None:
    for read in (cep_attributes, mep_attributes):
        with pytest.raises(Rejected, match=r"MALFORMED_PARAMETER: ids\[0\]\.attributes"):
            read({"attributes": {key: value}}, "ids[0]")


@pytest.mark.parametrize(
    "date",
    ["2012-08-12T22:30:05Z", "2012-08-12T22:30:05.123Z", "2012-08-12T22:30:05+02:00", "2012-08-12T22:30:05-11:30"],
)
def test_a_date_has_a_zone_in_2_x_and_none_in_1_1(date: str) -> None:
    zoned, bare = ({"attributes": {"date(born)": text}} for text in (date, date[:19]))
    assert cep_attributes(zoned, "ids[0]")
    assert mep_attributes(bare, "ids[0]")
    for read, element in ((cep_attributes, bare), (mep_attributes, zoned)):
        with pytest.raises(Rejected):
            read(element, "ids[0]")


def test_only_2_x_accepts_arrays() -> None:
    element = {"attributes": {"langs": ["fr", "en"], "none": []}}
    assert cep_attributes(element, "ids[0]") == element["attributes"]
    with pytest.raises(Rejected):
        mep_attributes(element, "ids[0]")


def test_2_x_accepts_fifteen_and_1_1_has_no_limit() -> None:
    fifteen = {f"a{number}": number for number in range(15)}
    assert cep_attributes({"attributes": fifteen}, "ids[0]") == fifteen
    with pytest.raises(Rejected, match="15"):
        cep_attributes({"attributes": {**fifteen, "one": 1}}, "ids[0]")
    assert len(mep_attributes({"attributes": {**fifteen, "one": 1}}, "ids[0]")) == 16


@pytest.mark.parametrize("attributes", [None, [], "a", 7])
def test_attributes_are_an_object(attributes: object) -> None:
    for read in (cep_attributes, mep_attributes):
        with pytest.raises(Rejected, match="must be an object"):
            read({"attributes": attributes}, "ids[0]")


def test_tags_are_strings() -> None:
    assert tags({}, "ids[0]") == ()
    assert tags({"tags": ["a", "b"]}, "ids[0]") == ("a", "b")


@pytest.mark.parametrize("wrong", [None, "a", {"a": 1}, [1], [None], ["a", ""]])
def test_other_tags_are_rejected(wrong: Any) -> None:
    with pytest.raises(Rejected, match=r"ids\[0\]\.tags"):
        tags({"tags": wrong}, "ids[0]")
