"""The loop that most people write first."""

from __future__ import annotations

import requests

from benchmarks.ids import in_calls, payload, plain
from benchmarks.measure import Meter, job, report


def main() -> None:
    """Send one call after the other, each over a new connection."""
    todo = job()
    with Meter() as meter:
        for block in in_calls(plain(todo["ids"])):
            answer = requests.patch(
                todo["url"] + todo["path"], json=payload(block), headers={"X-Authorization": "REST_KEY"}, timeout=60
            )
            answer.raise_for_status()
    report(meter)


if __name__ == "__main__":
    main()
