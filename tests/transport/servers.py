"""HTTP servers on the loopback that answer in ways the sandbox does not: byte for byte what a test wrote."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Asked:
    """One request as it came; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Stall:
    """Instead of an answer: nothing, until the client hangs up."""


class HangUp:
    """Instead of an answer: the connection ends."""


@dataclass(frozen=True)
class Torn:
    """The beginning of an answer, and then the connection ends."""

    piece: bytes


@dataclass(frozen=True)
class Trickle:
    """An answer that never ends: *begin*, and then *drop* every so many *seconds*, until the client hangs up."""

    begin: bytes
    drop: bytes
    seconds: float = 0.05

    def __iter__(self) -> Iterator[bytes]:
        yield self.begin
        while True:
            time.sleep(self.seconds)
            yield self.drop


#: In the places where a client's timeout for one read starts anew with each byte.
TRICKLES = {
    "status line": Trickle(b"HTTP/1.1 200 O", b"K"),
    "header": Trickle(b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"),
    "headers": Trickle(b"HTTP/1.1 200 OK\r\n", b"X-Long: a\r\n"),
    "100 Continue": Trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunk size": Trickle(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a"),
    "body": Trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
}

STALL, HANG_UP = Stall(), HangUp()
Script = bytes | Iterable[bytes] | Callable[[Asked], bytes] | Torn | Stall | HangUp


def answer(status: int, body: object = b"", **headers: str) -> bytes:
    """One whole answer; what is no bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


class LoopbackServer:
    """
    Serves each connection in a thread of its own, from the start to the end of the block; behind TLS if so given.

    :param is_buffered: whether more may be read of a connection than is asked for.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, *, host: str = "127.0.0.1", is_buffered: bool = True) -> None:
        serve = self._serve

        class Connection(socketserver.StreamRequestHandler):
            rbufsize = -1 if is_buffered else 0

            def handle(self) -> None:
                serve(self)

        self._server = _Server((host, 0), Connection, socket.AF_INET6 if ":" in host else socket.AF_INET)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        port = self._server.server_address[1]
        netloc = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.url = f"{'http' if tls is None else 'https'}://{netloc}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, connection: socketserver.StreamRequestHandler) -> None:
        raise NotImplementedError


class RawServer(LoopbackServer):
    """Answers the requests in turn from *script*; the last answer repeats. Remembers what it was asked."""

    def __init__(self, *script: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self._script = list(script)
        self._lock = threading.Lock()
        super().__init__(tls, host=host)

    def connection_json(self, **extra: object) -> str:
        """An Airflow connection to this server; the keys are KEY and REST_KEY."""
        fields = {"conn_type": "batch", "login": KEY, "password": REST_KEY, "host": self.url, "extra": extra}
        return json.dumps(fields)

    def _serve(self, connection: socketserver.StreamRequestHandler) -> None:
        with self._lock:
            self.connections += 1
        while (asked := _read(connection.rfile)) is not None:
            with self._lock:
                self.asked.append(asked)
                script = self._script.pop(0) if len(self._script) > 1 else self._script[0]
            if isinstance(script, HangUp):
                return
            if isinstance(script, Stall):
                connection.rfile.read(1)
                return
            if isinstance(script, Torn):
                connection.wfile.write(script.piece)
                return
            whole = script(asked) if callable(script) else script
            for piece in (whole,) if isinstance(whole, bytes) else whole:
                connection.wfile.write(piece)


class SlowHandshake(RawServer):
    """Begins each handshake when it may."""

    def __init__(self, *script: Script, tls: ssl.SSLContext) -> None:
        super().__init__(*script, tls=tls)
        self.may = threading.Event()

    def _serve(self, connection: Any) -> None:
        assert self.may.wait(60)
        super()._serve(connection)


#: Long enough that Airflow masks them, and nothing that stands anywhere else.
KEY, REST_KEY = "5f-app-key-93d1", "c0ffee-rest-key-77"


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], connection: Any, family: socket.AddressFamily) -> None:
        self.address_family = family
        super().__init__(address, connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what many of the tests are about."""


def _read(stream: Any) -> Asked | None:
    first = stream.readline().decode("latin-1").split()
    if not first:
        return None
    headers: dict[str, str] = {}
    while line := stream.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Asked(first[0], first[1], headers, stream.read(int(headers.get("content-length", "0"))))


def self_signed(folder: Any) -> ssl.SSLContext:
    """A server's TLS context with a certificate for 127.0.0.1 that nobody trusts."""
    import ipaddress
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
