"""The environment of a company's network: each situation ends alike on both transports."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_provider_batch.exceptions import BatchConfigurationError, BatchConnectionError
from airflow_provider_batch.protocol.flow import Answer
from airflow_provider_batch.protocol.wire import Request, Response
from airflow_provider_batch.transport.environment import Proxy, proxy_to, trusted
from airflow_provider_batch.transport.pace import Pace
from tests.clock import Clock, eventually
from tests.transport.conftest import Converse, Make
from tests.transport.proxies import ConnectProxy
from tests.transport.servers import KEY, TRICKLES, RawServer, SlowHandshake, answer, self_signed

Ask = Callable[..., Answer]

VIEW = Request("GET", "/1.0/{api_key}/custom-audience/vip")
NO_ANSWER = "GET /1.0/{api_key}/custom-audience/vip: no answer: "
VARIABLES = [
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
]
LOGIN = "Basic " + base64.b64encode("käthe:p@ss/w#rd".encode()).decode()
QUOTED_LOGIN = "k%C3%A4the:p%40ss%2Fw%23rd"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any variable about the network."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    return self_signed(tmp_path)


@pytest.fixture
def authority(tls: ssl.SSLContext, tmp_path: Path) -> str:
    return str(tmp_path / "server.pem")


@pytest.fixture
def server(tls: ssl.SSLContext) -> Iterator[RawServer]:
    with RawServer(answer(200, {}), tls=tls) as server:
        yield server


@pytest.fixture
def trusted_authority(authority: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("REQUESTS_CA_BUNDLE", authority)


@pytest.fixture(params=[False, True], ids=["plain proxy", "proxy behind TLS"])
def proxy_tls(request: pytest.FixtureRequest, tls: ssl.SSLContext) -> ssl.SSLContext | None:
    return tls if request.param else None


@pytest.fixture
def ask(converse: Converse, credentials: Make, server: RawServer) -> Ask:
    """Ask the server, or that at another address, over each of the transports, and return what came of it."""

    def asked(url: str = "", **options: float) -> Answer:
        (given,) = converse(credentials(url or server.url), VIEW, **options)  # type: ignore[arg-type]
        return given

    return asked


def proxied(proxy: ConnectProxy, login: str = "") -> str:
    scheme, _, authority = proxy.url.partition("//")
    return f"{scheme}//{login}{'@' if login else ''}{authority}"


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_file_of_authorities_is_trusted(
    variable: str, authority: str, ask: Ask, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv(variable, authority)
    given = ask()
    assert isinstance(given, Response)
    assert given.status == 200


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"])
@pytest.mark.parametrize("folders", ["{}", "/nowhere:{}"])
def test_a_folder_of_authorities_is_trusted(
    variable: str, folders: str, authority: str, tmp_path: Path, ask: Ask, environment: pytest.MonkeyPatch
) -> None:
    from cryptography import x509

    folder = tmp_path / "authorities"
    folder.mkdir()
    certificate = x509.load_pem_x509_certificate(Path(authority).read_bytes())
    hashed = _subject_hash(certificate)
    (folder / f"{hashed}.0").write_bytes(Path(authority).read_bytes())
    environment.setenv(variable, folders.format(folder))
    assert isinstance(ask(), Response)


def _subject_hash(certificate: object) -> str:
    """The name that OpenSSL looks up; for any other, it would have to be installed."""
    import hashlib
    import struct

    # The hash is of the canonical encoding: lower case, UTF8String, without the outer SEQUENCE.
    name = b"127.0.0.1"
    oid = bytes.fromhex("0603550403")
    value = b"\x0c" + bytes([len(name)]) + name
    attribute = b"\x30" + bytes([len(oid) + len(value)]) + oid + value
    canonical = b"\x31" + bytes([len(attribute)]) + attribute
    return f"{struct.unpack('<I', hashlib.sha1(canonical).digest()[:4])[0]:08x}"


@pytest.mark.usefixtures("trusted_authority")
@pytest.mark.parametrize("login", ["", LOGIN], ids=["without login", "with login"])
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_is_used(
    variable: str,
    login: str,
    proxy_tls: ssl.SSLContext | None,
    server: RawServer,
    converse: Converse,
    credentials: Make,
    environment: pytest.MonkeyPatch,
) -> None:
    with ConnectProxy(server.url, login=login, tls=proxy_tls) as proxy:
        environment.setenv(variable, proxied(proxy, QUOTED_LOGIN if login else ""))
        given = converse(credentials(server.url), VIEW, VIEW)
        assert [one.status for one in given if isinstance(one, Response)] == [200, 200]
        assert proxy.asked == [f"CONNECT {server.url.removeprefix('https://')}"]
        assert "proxy-authorization" not in server.asked[0].headers


@pytest.mark.usefixtures("trusted_authority")
@pytest.mark.parametrize("through", ["nothing", "proxy", "proxy behind TLS"])
def test_the_first_call_of_a_connection_counts_when_it_is_sent(
    through: str,
    tls: ssl.SSLContext,
    converse: Converse,
    credentials: Make,
    environment: pytest.MonkeyPatch,
) -> None:
    clock = Clock(1000.0)
    pace = Pace(1, clock)
    with (
        SlowHandshake(answer(200, {}), tls=tls) as server,
        ConnectProxy(server.url, tls=tls if through == "proxy behind TLS" else None) as proxy,
        ThreadPoolExecutor(1) as thread,
    ):
        if through != "nothing":
            environment.setenv("https_proxy", proxied(proxy))
        asked = thread.submit(converse, credentials(server.url), VIEW, VIEW, timeout=60, pace=pace)
        eventually(lambda: pace._calls._calls and (proxy.asked or through == "nothing"))
        clock.now = 1005.0
        turn = pace.turn()
        assert next(turn) == 0.0
        server.may.set()
        eventually(lambda: server.asked)
        # A new connection may be accepted a little late.
        assert next(turn) == pytest.approx(1.01 + 0.05)
        clock.now = 1020.0
        assert [one.status for one in asked.result(60) if isinstance(one, Response)] == [200, 200]
    # The second call counts from its turn.
    assert next(turn) == pytest.approx(1.01, abs=0.05)


@pytest.mark.usefixtures("trusted_authority")
@pytest.mark.parametrize(
    ("refusal", "login", "reason", "retryable"),
    [
        ("", LOGIN, "407 Proxy Authentication Required. Check user and password in HTTPS_PROXY.", False),
        ("403 No way", "", "403 Forbidden. The proxy must allow CONNECT to Batch's host.", False),
        ("502 Oops", "", "502 Bad Gateway.", True),
        ("503 Oops", "", "503 Service Unavailable.", True),
        ("470 Odd", "", "470.", False),
    ],
)
def test_the_status_of_a_proxy_is_in_the_message(
    refusal: str,
    login: str,
    reason: str,
    retryable: bool,
    proxy_tls: ssl.SSLContext | None,
    server: RawServer,
    ask: Ask,
    environment: pytest.MonkeyPatch,
) -> None:
    with ConnectProxy(server.url, refusal=refusal, login=login, tls=proxy_tls) as proxy:
        environment.setenv("HTTPS_PROXY", proxied(proxy, "user:wrong-password"))
        error = ask()
    assert isinstance(error, BatchConnectionError)
    assert str(error) == f"{NO_ANSWER}the proxy answered {reason}"
    assert error.retryable is retryable
    assert server.asked == []


@pytest.mark.parametrize("through", ["no proxy", "plain proxy", "proxy behind TLS"])
def test_an_authority_that_is_not_the_right_one_is_named_and_not_retried(
    through: str, server: RawServer, tls: ssl.SSLContext, ask: Ask, environment: pytest.MonkeyPatch
) -> None:
    with ConnectProxy(server.url, tls=tls if through == "proxy behind TLS" else None) as proxy:
        if through != "no proxy":
            environment.setenv("HTTPS_PROXY", proxy.url)
        error = ask()
    assert isinstance(error, BatchConnectionError)
    assert str(error) == (
        f"{NO_ANSWER}certificate verify failed: self-signed certificate. If a proxy or firewall opens TLS, set "
        "REQUESTS_CA_BUNDLE to a file with your company's certificate authority."
    )
    assert error.retryable is False
    assert server.asked == []


@pytest.mark.usefixtures("trusted_authority")
def test_a_certificate_for_another_host_is_named(server: RawServer, ask: Ask) -> None:
    error = ask(server.url.replace("127.0.0.1", "localhost"))
    assert "certificate verify failed: Hostname mismatch, certificate is not valid for 'localhost'. " in str(error)


@pytest.mark.usefixtures("trusted_authority")
@pytest.mark.parametrize("where", ["proxy", "server"])
def test_a_trickle_through_a_proxy_ends_at_the_deadline(
    where: str, proxy_tls: ssl.SSLContext | None, tls: ssl.SSLContext, ask: Ask, environment: pytest.MonkeyPatch
) -> None:
    with (
        RawServer(TRICKLES["header"], tls=tls) as server,
        RawServer(TRICKLES["header"], tls=proxy_tls) as trickling_proxy,
        ConnectProxy(server.url, tls=proxy_tls) as honest_proxy,
    ):
        environment.setenv("HTTPS_PROXY", trickling_proxy.url if where == "proxy" else honest_proxy.url)
        error = ask(server.url, timeout=0.5)
    assert str(error) == f"{NO_ANSWER}TimeoutError"


NO_ADDRESS = (
    "it is not an address such as http://proxy.example.com:3128. In user and password, percent-encode everything but "
    "letters and digits."
)
MISSING = "it is a SOCKS proxy, for which a package is missing. Install "

_UNUSABLE: Mapping[str, tuple[dict[str, str], str, str]] = {
    "no file": ({"SSL_CERT_FILE": "/nowhere/ca.pem"}, "SSL_CERT_FILE", "No such file or directory"),
    "no folder": ({"SSL_CERT_DIR": "/nowhere"}, "SSL_CERT_DIR", "No such file or directory"),
    "no certificate": ({"CURL_CA_BUNDLE": __file__}, "CURL_CA_BUNDLE", "it holds no certificate in PEM format"),
    "the first": (
        {"REQUESTS_CA_BUNDLE": "/nowhere", "SSL_CERT_FILE": __file__},
        "REQUESTS_CA_BUNDLE",
        "No such file or directory",
    ),
    "scheme": (
        {"HTTPS_PROXY": "ftp://u:s3cret@a.example"},
        "HTTPS_PROXY",
        "its scheme is unknown. Use http://, https://, socks5:// or socks5h://.",
    ),
    "port": ({"https_proxy": "http://u:s3cret@a.example:http"}, "https_proxy", NO_ADDRESS),
    "port 0": ({"https_proxy": "http://u:s3cret@a.example:0"}, "https_proxy", NO_ADDRESS),
    "high port": ({"ALL_PROXY": "a.example:99999"}, "ALL_PROXY", NO_ADDRESS),
    "password": ({"HTTPS_PROXY": "http://u:s3cret#1@a.example:3128"}, "HTTPS_PROXY", NO_ADDRESS),
    "no host": ({"HTTPS_PROXY": "http://"}, "HTTPS_PROXY", NO_ADDRESS),
    "blank": ({"HTTPS_PROXY": "http://a b:3128"}, "HTTPS_PROXY", NO_ADDRESS),
    "bracket": ({"HTTPS_PROXY": "http://[::1"}, "HTTPS_PROXY", NO_ADDRESS),
    "SOCKS": ({"ALL_PROXY": "socks5://u:s3cret@a.example"}, "ALL_PROXY", MISSING),
    "SOCKS by name": ({"ALL_PROXY": "socks5h://a.example:1080"}, "ALL_PROXY", MISSING),
}


@pytest.mark.parametrize(("variables", "variable", "reason"), _UNUSABLE.values(), ids=_UNUSABLE)
def test_what_cannot_work_fails_at_once_and_names_the_variable(
    variables: dict[str, str], variable: str, reason: str, ask: Ask, environment: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    environment.setattr("airflow_provider_batch.transport.environment.find_spec", lambda name: None)
    with pytest.raises(BatchConfigurationError) as caught:
        ask("https://api.batch.com")
    assert not caught.value.retryable
    told = str(caught.value)
    if variable.lower().endswith("proxy"):
        packages = ("PySocks.", "httpx[socks].") if reason == MISSING else ("",)
        head = f"the proxy of the environment variable {variable} cannot be used: {reason}"
        assert told in [f"{head}{package}" for package in packages]
    else:
        assert told == (
            f"the environment variable {variable} names the certificate authorities {variables[variable]!r}, which "
            f"cannot be read: {reason}. Correct it, or unset it."
        )
    assert caught.value.__cause__ is None
    # Without https there is no proxy and no certificate: only this machine is reached.
    with RawServer(answer(200, {})) as local:
        assert isinstance(ask(local.url), Response)


def test_an_authority_that_comes_later_is_read_then(authority: str, ask: Ask, environment: pytest.MonkeyPatch) -> None:
    later = Path(authority).with_name("later.pem")
    environment.setenv("SSL_CERT_FILE", str(later))
    with pytest.raises(BatchConfigurationError):
        ask()
    later.write_bytes(Path(authority).read_bytes())
    assert isinstance(ask(), Response)


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://a:1"}, "http://a:1"),
        ({"HTTPS_PROXY": " http://a:1/\n"}, "http://a:1"),
        ({"HTTPS_PROXY": "a:1"}, "http://a:1"),
        ({"HTTPS_PROXY": "u:p@a:1"}, "http://a:1"),
        ({"HTTPS_PROXY": "HTTPS://a"}, "https://a"),
        ({"HTTPS_PROXY": "http://[::1]:3128"}, "http://[::1]:3128"),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:1"}, "http://b:1"),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": ""}, None),
        ({"HTTPS_PROXY": "http://a:1", "ALL_PROXY": "http://b:1"}, "http://a:1"),
        ({"ALL_PROXY": "http://b:1"}, "http://b:1"),
        ({"HTTP_PROXY": "http://a:1", "http_proxy": "http://a:1"}, None),
    ],
)
def test_which_variable_names_the_proxy(
    variables: dict[str, str], url: str | None, environment: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    proxy = proxy_to("https://api.batch.com", socks_package="socks")
    assert (proxy.url if proxy else None) == url


@pytest.mark.parametrize("package", ["socks", "socksio"])
def test_a_socks_proxy_keeps_its_login(package: str, environment: pytest.MonkeyPatch) -> None:
    installed = {package: object()}
    environment.setattr("airflow_provider_batch.transport.environment.find_spec", installed.get)
    environment.setenv("ALL_PROXY", "socks5://u:p@a:1080")
    assert proxy_to("https://api.batch.com", socks_package=package) == Proxy("socks5://u:p@a:1080", {})


@pytest.mark.parametrize(("package", "install"), [("socks", "PySocks"), ("socksio", "httpx[socks]")])
def test_the_package_that_a_library_lacks_is_named(package: str, install: str, environment: pytest.MonkeyPatch) -> None:
    environment.setattr("airflow_provider_batch.transport.environment.find_spec", lambda name: None)
    environment.setenv("ALL_PROXY", "socks5://a:1080")
    with pytest.raises(BatchConfigurationError) as caught:
        proxy_to("https://api.batch.com", socks_package=package)
    assert str(caught.value) == (f"the proxy of the environment variable ALL_PROXY cannot be used: {MISSING}{install}.")


@pytest.mark.parametrize(
    ("value", "login"),
    [
        ("u:p@a:1", b"u:p"),
        ("u@a:1", b"u:"),
        ("%C3%A9:%40@a:1", "\u00e9:@".encode()),
        (":p@a:1", b":p"),
        ("\u00e9 u:p w@a:1", "\u00e9 u:p w".encode()),
    ],
)
def test_the_login_of_a_proxy_is_in_its_headers_alone(
    value: str, login: bytes, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HTTPS_PROXY", value)
    basic = f"Basic {base64.b64encode(login).decode()}"
    assert proxy_to("https://api.batch.com", socks_package="socks") == Proxy(
        "http://a:1", {"Proxy-Authorization": basic}
    )


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(
    ("exempt", "host", "is_exempt"),
    [
        ("*", "api.batch.com", True),
        ("api.batch.com", "api.batch.com", True),
        ("API.Batch.com", "api.batch.com", True),
        ("api.batch.com", "API.batch.com", True),
        ("api.batch.com", "api.batch.com.", True),
        ("batch.com", "api.batch.com", True),
        (".batch.com", "api.batch.com", True),
        ("*.batch.com", "api.batch.com", True),
        ("localhost, 10.0.0.0/8,.batch.com", "api.batch.com", True),
        ("https://api.batch.com", "api.batch.com", True),
        ("https://api.batch.com/", "api.batch.com", True),
        ("api.batch.com:443", "api.batch.com", True),
        ("api.batch.com:443", "api.batch.com:8443", False),
        ("api.batch.com:8443", "api.batch.com:8443", True),
        ("batch.com", "notbatch.com", False),
        ("com", "batch.org", False),
        ("", "api.batch.com", False),
        (".", "api.batch.com", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.5/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:8443", "10.1.2.3", False),
        ("10.0.0.0/99", "10.1.2.3", False),
        ("fd00::/8", "[fd00::1]", True),
        ("fd00::1", "[fd00::1]", True),
        ("[fd00::1]:8443", "[fd00::1]:8443", True),
        ("[fd00::1]:8443", "[fd00::1]", False),
        ("10.0.0.0/8", "[fd00::1]", False),
    ],
)
def test_who_is_reached_without_the_proxy(
    variable: str, exempt: str, host: str, is_exempt: bool, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    environment.setenv(variable, exempt)
    assert (proxy_to(f"https://{host}", socks_package="socks") is None) is is_exempt


def test_a_proxy_is_not_printed(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTPS_PROXY", "http://user:s3cret@proxy.example:3128")
    assert repr(proxy_to("https://api.batch.com", socks_package="socks")) == "Proxy()"


def test_without_a_variable_the_public_authorities_are_trusted() -> None:
    assert trusted("https://api.batch.com").cert_store_stats()["x509_ca"] > 50


def test_the_app_key_is_not_in_the_message_of_a_proxy(
    server: RawServer, ask: Ask, environment: pytest.MonkeyPatch
) -> None:
    with ConnectProxy(server.url, refusal=f"502 {KEY}") as proxy:
        environment.setenv("HTTPS_PROXY", proxy.url)
        error = ask()
    assert str(error) == f"{NO_ANSWER}the proxy answered 502 Bad Gateway."
