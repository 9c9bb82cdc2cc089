"""The least that a Python client can do: generate ids, join them without checks, send them over one bare connection."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from benchmarks.ids import in_calls, joined, plain
from benchmarks.measure import Meter, job, report

_HEADERS = {"Content-Type": "application/json", "X-Authorization": "REST_KEY"}


def main() -> None:
    """Send the ids of the job."""
    todo = job()
    connection = http.client.HTTPConnection(urlsplit(todo["url"]).netloc)
    with Meter() as meter:
        for block in in_calls(plain(todo["ids"])):
            connection.request("PATCH", todo["path"], joined(block), _HEADERS)
            connection.getresponse().read()
    report(meter)


if __name__ == "__main__":
    main()
