"""An HTTP proxy on the loopback that opens tunnels, or refuses them."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from contextlib import suppress
from urllib.parse import urlsplit

from tests.transport.servers import LoopbackServer


class ConnectProxy(LoopbackServer):
    """
    Answers ``CONNECT`` and passes on what comes then, wherever it was meant to go, to the server at *url*.

    :param refusal: the answer's status line if it is not to open a tunnel; ``407`` to all that do not give *login*.
    :param login: the value of the header ``Proxy-Authorization``.
    """

    def __init__(self, url: str, *, refusal: str = "", login: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        self._refusal, self._login = refusal, login
        self._server_port = urlsplit(url).port or 0
        super().__init__(tls, is_buffered=False)  # what follows the head belongs to the tunnel

    def _serve(self, connection: socketserver.StreamRequestHandler) -> None:
        client, head = connection.connection, []
        while line := connection.rfile.readline().decode().strip():
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
