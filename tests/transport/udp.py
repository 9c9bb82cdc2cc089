"""A server for datagrams, such as those of StatsD."""

from __future__ import annotations

import secrets
import socket
import threading


class UdpServer:
    """Receives on the loopback until the end of the block."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._lines: list[str] = []
        self._arrived = threading.Condition()
        self._thread = threading.Thread(target=self._receive)
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> UdpServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._send("")
        self._thread.join()
        self._socket.close()

    def lines(self, prefix: str) -> list[str]:
        """Return all lines with this prefix that were sent before."""
        mark = secrets.token_hex(8)
        self._send(mark)  # on the loopback, it comes after them
        with self._arrived:
            assert self._arrived.wait_for(lambda: mark in self._lines, timeout=10)
            return [line for line in self._lines if line.startswith(prefix)]

    def _receive(self) -> None:
        while content := self._socket.recv(65_535):
            with self._arrived:
                self._lines += content.decode().splitlines()
                self._arrived.notify_all()

    def _send(self, text: str) -> None:
        self._socket.sendto(text.encode(), ("127.0.0.1", self.port))
