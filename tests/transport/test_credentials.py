from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batch.exceptions import BatchConfigurationError
from airflow_provider_batch.protocol.dialect import cep
from airflow_provider_batch.protocol.wire import Request
from airflow_provider_batch.transport.credentials import Credentials

VIEW = Request("GET", "/1.0/{api_key}/custom-audience/vip")


@pytest.mark.parametrize("base_url", ["https://api.batch.com", "https://api.batch.com/", "https://api.batch.com//"])
def test_host_key_and_path_are_joined_with_one_slash(base_url: str) -> None:
    assert Credentials(base_url, "k", "r").url(VIEW) == "https://api.batch.com/1.0/k/custom-audience/vip"


def test_a_base_url_may_have_a_port_and_a_path() -> None:
    credentials = Credentials("https://proxy.example:8443/batch/", "k", "r")
    assert credentials.url(VIEW) == "https://proxy.example:8443/batch/1.0/k/custom-audience/vip"
    assert credentials.target(VIEW) == "/batch/1.0/k/custom-audience/vip"


def test_a_key_with_signs_of_an_address_stays_one_segment() -> None:
    assert Credentials("https://api.batch.com", "a/b?c#d%e", "r").url(VIEW) == (
        "https://api.batch.com/1.0/a%2Fb%3Fc%23d%25e/custom-audience/vip"
    )


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1",
        "http://127.0.0.1:8000",
        "http://127.8.9.1:80",
        "http://localhost:8000",
        "http://LOCALHOST:8000",
        "HTTP://localhost",
        "http://[::1]:8000",
        "https://api.batch.com",
        "https://10.0.0.1:8443",
    ],
)
def test_https_anywhere_and_http_on_the_loopback_are_allowed(base_url: str) -> None:
    assert Credentials(base_url, "k", "r").base_url == base_url


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.batch.com",
        "http://10.0.0.1:8000",
        "http://0.0.0.0:8000",
        "http://[::]:8000",
        "http://localhost.example.com",
        "http://localhost.:8000",
        "http://127.0.0.1.example.com",
        "http://2130706433",
        r"http://localhost\.example.com",
    ],
)
def test_http_off_the_loopback_is_refused(base_url: str) -> None:
    with pytest.raises(BatchConfigurationError, match=r"unencrypted. Use https"):
        Credentials(base_url, "k", "r")


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.batch.com",
        "//api.batch.com",
        "https://",
        "https:///path",
        "ftp://api.batch.com",
        "file:///etc/passwd",
        "https://api.batch.com:notaport",
        "https://api.batch.com:99999",
        "https://[::1",
        "https://api batch.com",
        "https://api.batch.com/a\nb",
        "https://api.batch.com/\u2028",
    ],
)
def test_what_is_no_address_is_refused(base_url: str) -> None:
    with pytest.raises(BatchConfigurationError, match="is not a valid address"):
        Credentials(base_url, "k", "r")


@pytest.mark.parametrize(
    "base_url",
    [
        "https://user@api.batch.com",
        "https://user:secret@api.batch.com",
        "https://@api.batch.com",
        r"https://api.batch.com\@evil.example",
        "http://127.0.0.1@evil.example",
        "https://api.batch.com/?a=b",
        "https://api.batch.com/#here",
    ],
)
def test_a_user_a_query_or_a_fragment_is_refused_without_being_repeated(base_url: str) -> None:
    with pytest.raises(BatchConfigurationError, match="must not have a user, query or fragment") as caught:
        Credentials(base_url, "k", "r")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("base_url", ["https://api.batch.com?", "https://api.batch.com#", "https://api.batch.com/?"])
def test_an_empty_query_or_fragment_is_refused_too(base_url: str) -> None:
    with pytest.raises(BatchConfigurationError):
        Credentials(base_url, "k", "r")


@pytest.mark.parametrize("key", ["", " ", "a b", "abc\n", "\tabc", "abc\r\nX-Injected: 1", "clé", "a\u00a0b", "\x00"])
@pytest.mark.parametrize("which", ["login", "password"])
def test_a_key_that_is_none_is_refused_without_being_repeated(which: str, key: str) -> None:
    wrong = {"login": "api_key", "password": "rest_api_key"}[which]
    keys: dict[str, Any] = {"api_key": "right", "rest_api_key": "right", wrong: key}
    with pytest.raises(BatchConfigurationError, match=which) as caught:
        Credentials("https://api.batch.com", **keys)
    assert not key.strip() or key not in str(caught.value)


def test_nothing_prints_the_keys() -> None:
    credentials = Credentials("https://api.batch.com", "app-secret", "rest-secret")
    for text in (repr(credentials), str(credentials), f"{[credentials]}"):
        assert "secret" not in text
        assert "api.batch.com" in text


def test_nothing_prints_the_keys_of_a_project() -> None:
    credentials = Credentials("https://api.batch.com", "project_1a2b3c", "rest-key", platform=cep())
    assert not any(key in f"{credentials} {credentials!r}" for key in ("project_1a2b3c", "rest-key", "Bearer"))


def test_the_headers_say_who_calls() -> None:
    assert Credentials("https://api.batch.com", "app", "rest", "agent/1").headers == {
        "X-Authorization": "rest",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "agent/1",
    }


@pytest.mark.parametrize(
    ("body", "private"),
    [
        (b"bad key rest-1", b"bad key ***"),
        (b'{"path":"/1.0/app-1/custom-audience"}', b'{"path":"/1.0/***/custom-audience"}'),
        (b"rest-1 and app-1, rest-1", b"*** and ***, ***"),
        (b"rest-12 xrest-1", b"***2 x***"),
        (b"", b""),
        (b"\xff\xfe rest-1", b"\xff\xfe ***"),
    ],
)
def test_keys_are_blotted_out_of_a_body(body: bytes, private: bytes) -> None:
    assert Credentials("https://api.batch.com", "app-1", "rest-1").redact(body) == private


def test_a_key_of_a_letter_leaves_the_words_it_is_a_part_of() -> None:
    assert Credentials("https://api.batch.com", "k", "e").redact(b'{"code": 1, "a": "e"}') == b'{"code": 1, "a": "***"}'


def test_a_key_is_blotted_out_as_it_is_and_as_it_stands_in_an_address() -> None:
    credentials = Credentials("https://api.batch.com", "app/1.+", "rest-1")
    assert credentials.redact(b"app/1.+ or app%2F1.%2B") == b"*** or ***"


@pytest.mark.parametrize("quoted", [rb"line\nrest-1", rb"\u00abrest-1\u00bb", rb"tab\trest-1"])
def test_a_key_behind_an_escape_of_json_is_blotted_out(quoted: bytes) -> None:
    assert b"rest-1" not in Credentials("https://api.batch.com", "app-1", "rest-1").redact(b'"' + quoted + b'"')


@pytest.mark.parametrize(("key", "body"), [("abcd", b"abcde ***"), ("abcde", b"***e ***")])
def test_a_key_of_more_than_four_letters_is_looked_for_inside_words_too(key: str, body: bytes) -> None:
    given = key.encode() + b"e " + key.encode()
    assert Credentials("https://api.batch.com", key, "rest-key").redact(given) == body


def test_a_key_with_a_quote_is_redacted_as_json_spells_it() -> None:
    credentials = Credentials("https://api.batch.com", 'app"key\\1', "rest-key")
    assert credentials.redact(rb'{"path": "app\"key\\1"}') == b'{"path": "***"}'
