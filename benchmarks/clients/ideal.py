"""The ideal client: sends prepared bodies over bare connections."""

from __future__ import annotations

import http.client
import threading
from urllib.parse import urlsplit

from benchmarks.ids import in_calls, joined, plain
from benchmarks.measure import Meter, job, report

_HEADERS = {"Content-Type": "application/json", "X-Authorization": "REST_KEY"}


def send(netloc: str, path: str, bodies: list[bytes]) -> None:
    """Send *bodies* over one connection."""
    connection = http.client.HTTPConnection(netloc)
    for body in bodies:
        connection.request("PATCH", path, body, _HEADERS)
        connection.getresponse().read()
    connection.close()


def main() -> None:
    """Send over the job's number of connections, each in a thread."""
    todo = job()
    netloc, connections = urlsplit(todo["url"]).netloc, todo["connections"]
    bodies = [joined(block) for block in in_calls(plain(todo["ids"]))]
    shares = [bodies[first::connections] for first in range(connections)]
    threads = [threading.Thread(target=send, args=(netloc, todo["path"], share)) for share in shares]
    with Meter() as meter:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    report(meter)


if __name__ == "__main__":
    main()
