"""The loop that most people write first, for profiles."""

from __future__ import annotations

import requests

from benchmarks.measure import Meter, job, report
from benchmarks.profiles import CALL, Cursor, entries, rows


def main() -> None:
    """Send one call after the other, each over a new connection."""
    todo = job()
    cursor = Cursor(rows(todo["ids"]))
    headers = {"Authorization": "Bearer REST_KEY", "X-Batch-Project": "KEY"}
    with Meter() as meter:
        while block := cursor.fetchmany(CALL):
            answer = requests.post(todo["url"] + todo["path"], json=entries(block), headers=headers, timeout=60)
            answer.raise_for_status()
    report(meter)


if __name__ == "__main__":
    main()
