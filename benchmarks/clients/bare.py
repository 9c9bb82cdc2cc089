"""The least that a client in Python can do: make the ids, join them unchecked, send them over one bare connection."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from benchmarks.ids import in_calls, joined, plain
from benchmarks.measure import Meter, job, report

_HEADERS = {"Content-Type": "application/json", "X-Authorization": "REST_KEY"}


def main() -> None:
    """Send what the job says."""
    todo = job()
    connection = http.client.HTTPConnection(urlsplit(todo["url"]).netloc)
    with Meter() as meter:
        for block in in_calls(plain(todo["ids"])):
            connection.request("PATCH", todo["path"], joined(block), _HEADERS)
            connection.getresponse().read()
    report(meter)


if __name__ == "__main__":
    main()
