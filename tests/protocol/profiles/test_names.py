from __future__ import annotations

import pytest

from airflow_provider_batch.protocol.profiles.names import declared, key_of


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("plan", "plan"),
        ("date__last_order", "date(last_order)"),
        ("url__picture", "url(picture)"),
        ("batch__email_address", "$email_address"),
        ("date(last_order)", "date(last_order)"),
        ("$email_address", "$email_address"),
        ("PLAN", "plan"),
        ("DATE__LAST_ORDER", "date(last_order)"),
        ("date__born__on", "date(born__on)"),
        ("update__at", "update__at"),
        ("date__", "date__"),
        ("x" * 30, "x" * 30),
        (f"date__{'x' * 30}", f"date({'x' * 30})"),
    ],
)
def test_a_column_becomes_the_key_of_its_attribute(column: str, key: str) -> None:
    assert key_of(column) == key


@pytest.mark.parametrize(
    "name", ["", "x" * 31, "lastOrder", "last order", "é", "day(x)", "date()", "$", f"date__{'x' * 31}"]
)
def test_a_name_that_batch_does_not_accept_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="Batch accepts names of 1 to 30 letters a-z"):
        key_of(name)


def test_a_name_that_is_not_text_is_refused() -> None:
    with pytest.raises(ValueError, match="must be text, not int"):
        key_of(7)


def test_a_literal_name_is_the_key_itself() -> None:
    assert key_of("date__x", literal=True) == "date__x"
    with pytest.raises(ValueError, match="'PLAN'"):
        key_of("PLAN", literal=True)


def test_a_reason_shows_the_beginning_of_a_long_name() -> None:
    with pytest.raises(ValueError, match=f"^attribute '{'Y' * 80}':"):
        key_of("Y" * 81, literal=True)


@pytest.mark.parametrize("name", ["jane@example.com", "+33 6 12 34 56 78", "1001-a"])
def test_a_reason_does_not_show_what_may_be_a_value(name: str) -> None:
    with pytest.raises(ValueError, match=f"^an attribute with a name of {len(name)} characters: Batch accepts"):
        key_of(name)


@pytest.mark.parametrize(
    ("key", "parts"),
    [("date(x)", ("date", "x")), ("url(x)", ("url", "x")), ("x", ("", "x")), ("$region", ("", "$region"))],
)
def test_a_key_declares_its_type(key: str, parts: tuple[str, str]) -> None:
    assert declared(key) == parts
