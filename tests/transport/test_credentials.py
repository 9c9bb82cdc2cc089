from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_batch.exceptions import BatchConfigurationError
from airflow_provider_batch.protocol.dialect import MEP, cep
from airflow_provider_batch.protocol.wire import Request
from airflow_provider_batch.transport.credentials import Credentials

VIEW = Request("GET", "/1.0/{api_key}/custom-audience/vip")


@pytest.mark.parametrize("base_url", ["https://api.batch.com", "https://api.batch.com/", "https://api.batch.com//"])
def test_host_key_and_path_are_joined_with_one_slash(base_url: str) -> None:
    assert Credentials(base_url, "k", "r").url(VIEW) == "https://api.batch.com/1.0/k/custom-audience/vip"


@pytest.mark.parametrize("path", ["/batch", "/BOX"])
@pytest.mark.parametrize("end", ["", "/", "//"])
def test_a_base_url_may_have_a_port_and_a_path(path: str, end: str) -> None:
    credentials = Credentials(f"https://proxy.example:8443{path}{end}", "k", "r")
    assert credentials.url(VIEW) == f"https://proxy.example:8443{path}/1.0/k/custom-audience/vip"
    assert credentials.target(VIEW) == f"{path}/1.0/k/custom-audience/vip"


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
    with pytest.raises(BatchConfigurationError) as caught:
        Credentials(base_url, "k", "r")
    assert str(caught.value) == (
        f"the connection's host would send the keys to {urlsplit(base_url).hostname} unencrypted. Use https; http is "
        "for loopback only."
    )


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
    with pytest.raises(BatchConfigurationError) as caught:
        Credentials(base_url, "k", "r")
    assert str(caught.value) == (
        "the connection's host is not a valid address. Leave it empty, or use https://api.batch.com."
    )


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
    with pytest.raises(BatchConfigurationError) as caught:
        Credentials(base_url, "k", "r")
    assert str(caught.value) == "the connection's host must not have a user, query or fragment. Remove them."


@pytest.mark.parametrize("base_url", ["https://api.batch.com?", "https://api.batch.com#", "https://api.batch.com/?"])
def test_an_empty_query_or_fragment_is_refused_too(base_url: str) -> None:
    with pytest.raises(BatchConfigurationError):
        Credentials(base_url, "k", "r")


@pytest.mark.parametrize("key", ["", " ", "a b", "abc\n", "\tabc", "abc\r\nX-Injected: 1", "clé", "a\u00a0b", "\x00"])
@pytest.mark.parametrize("which", ["login", "password"])
def test_a_key_that_is_none_is_refused_without_being_repeated(which: str, key: str) -> None:
    wrong = {"login": "api_key", "password": "rest_api_key"}[which]
    keys: dict[str, Any] = {"api_key": "right", "rest_api_key": "right", wrong: key}
    with pytest.raises(BatchConfigurationError) as caught:
        Credentials("https://api.batch.com", **keys)
    name = {"login": f"{MEP.login} (login)", "password": "REST API key (password)"}[which]
    assert str(caught.value) == (
        f"the connection's {name} has characters that no key has, such as blanks or line breaks. Copy it again."
        if key
        else f"the connection has no {name}. Copy it from Settings > General in Batch's dashboard."
    )


def test_a_login_is_called_what_its_platform_calls_it() -> None:
    with pytest.raises(BatchConfigurationError, match=rf"^the connection has no {re.escape(cep().login)} \(login\)\. "):
        Credentials("https://api.batch.com", "", "right", platform=cep())


def test_the_key_of_a_project_is_none_of_an_app() -> None:
    with pytest.raises(BatchConfigurationError) as caught:
        Credentials("https://api.batch.com", "project_1a2b3c", "right")
    assert str(caught.value) == (
        "the connection's login looks like a project's key, but its platform is mep. "
        'Set {"platform": "cep"} in its extra.'
    )


def test_a_digest_tells_apps_and_hosts_apart_and_not_who_calls() -> None:
    digest = Credentials("https://api.batch.com", "app-secret", "rest-secret").digest
    assert digest == hashlib.sha256(b'["https://api.batch.com", "app-secret"]').hexdigest()
    assert Credentials("https://api.batch.com", "app-secret", "another", "agent/2").digest == digest
    for host, key in (("https://api.batch.com", "other"), ("https://other.example", "app-secret")):
        assert Credentials(host, key, "rest-secret").digest != digest


def test_a_query_follows_the_path() -> None:
    asked = Request("GET", "/1.0/{api_key}/list", (("page", "a b"), ("size", "5")))
    credentials = Credentials("https://api.batch.com/x/", "k", "r")
    assert credentials.target(asked) == "/x/1.0/k/list?page=a+b&size=5"
    assert credentials.url(asked) == "https://api.batch.com/x/1.0/k/list"


@pytest.mark.parametrize(
    ("base_url", "is_encrypted"),
    [("https://a.example", True), ("HTTPS://a.example", True), ("http://127.0.0.1", False)],
)
def test_keys_are_encrypted_on_every_way_but_to_this_machine(base_url: str, is_encrypted: bool) -> None:
    assert Credentials(base_url, "k", "r").encrypted is is_encrypted


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


def test_a_key_with_a_slash_is_redacted_as_php_spells_it() -> None:
    credentials = Credentials("https://api.batch.com", "app/key", "rest/key")
    assert credentials.redact(rb"app\/key and rest\/key") == b"*** and ***"


def test_a_key_with_a_quote_is_redacted_as_json_spells_it() -> None:
    credentials = Credentials("https://api.batch.com", 'app"key\\1', "rest-key")
    assert credentials.redact(rb'{"path": "app\"key\\1"}') == b'{"path": "***"}'
