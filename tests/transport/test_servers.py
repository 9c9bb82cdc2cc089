from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from tests.transport.servers import TRICKLES, RawServer, Trickle


@pytest.mark.parametrize("trickle", TRICKLES.values(), ids=TRICKLES)
def test_a_trickle_goes_on_for_each_client(trickle: Trickle) -> None:
    quick = Trickle(trickle.begin, trickle.drop, seconds=0.001)
    wanted = quick.begin + 20 * quick.drop
    with RawServer(quick) as server:
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=5) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert client.makefile("rb").read(len(wanted)) == wanted
