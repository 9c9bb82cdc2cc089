"""The loop that people write once they know requests."""

from __future__ import annotations

import requests

from benchmarks.ids import in_calls, payload, plain
from benchmarks.measure import Meter, job, report


def main() -> None:
    """Send one call after the other over one connection."""
    todo = job()
    session = requests.Session()
    session.headers["X-Authorization"] = "REST_KEY"
    with Meter() as meter:
        for block in in_calls(plain(todo["ids"])):
            session.patch(todo["url"] + todo["path"], json=payload(block), timeout=60).raise_for_status()
    report(meter)


if __name__ == "__main__":
    main()
