"""An HTTP proxy on the loopback that opens tunnels, or refuses them."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit


class ConnectProxy:
    """
    Answers ``CONNECT`` and passes on what comes then, wherever it was meant to go, to the server at *url*.

    :param refusal: the answer's status line if it is not to open a tunnel; ``407`` to all that do not give *login*.
    :param login: the value of the header ``Proxy-Authorization``.
    """

    def __init__(self, url: str, *, refusal: str = "", login: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        self._refusal, self._login = refusal, login
        self._server_port = urlsplit(url).port or 0
        proxy = self

        class Connection(socketserver.StreamRequestHandler):
            rbufsize = 0  # what follows the head belongs to the tunnel

            def handle(self) -> None:
                proxy._serve(self.rfile, self.connection)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection)
        self._server.daemon_threads, self._server.block_on_close = True, False
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.authority = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{'http' if tls is None else 'https'}://{self.authority}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, stream: Any, client: socket.socket) -> None:
        head = []
        while line := stream.readline().decode().strip():
            head.append(line)
        self.asked.append(head[0].rpartition(" ")[0])
        refusal = self._refusal
        if self._login and f"Proxy-Authorization: {self._login}" not in head:
            refusal = "407 Proxy Authentication Required"
        client.sendall(f"HTTP/1.1 {refusal or '200 Connection established'}\r\n\r\n".encode())
        if not refusal:
            with socket.create_connection(("127.0.0.1", self._server_port)) as server:
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
