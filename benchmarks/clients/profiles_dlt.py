"""dlt with a custom destination, for profiles."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from benchmarks.measure import Meter, job, report
from benchmarks.profiles import CALL, NAMES, Cursor, entries, rows

JOB = job()
os.environ |= {
    "DLT_DATA_DIR": JOB["home"],
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "DATA_WRITER__FILE_MAX_ITEMS": str(JOB["ids"]),
}

import dlt  # type: ignore[import-not-found]  # noqa: E402 - in the peers' environment; reads its settings on import
import requests  # noqa: E402

_SESSION = requests.Session()
_HEADERS = {"Authorization": "Bearer REST_KEY", "X-Batch-Project": "KEY"}


@dlt.destination(  # type: ignore[untyped-decorator]
    batch_size=CALL, name="profiles", naming_convention="direct", loader_parallelism_strategy="sequential"
)
def profiles(items: list[dict[str, Any]], table: object) -> None:
    """Send one call."""
    body = entries([tuple(item[name] for name in NAMES) for item in items])
    answer = _SESSION.post(JOB["url"] + JOB["path"], json=body, headers=_HEADERS, timeout=60)
    answer.raise_for_status()


def main() -> None:
    """Run one pipeline: extract, normalize, load."""
    cursor = Cursor(rows(JOB["ids"]))

    def pages() -> Iterator[list[dict[str, Any]]]:
        while block := cursor.fetchmany(CALL):
            yield [dict(zip(NAMES, row, strict=True)) for row in block]

    with Meter() as meter:
        dlt.pipeline("bench", destination=profiles, dataset_name="bench").run(dlt.resource(pages, name="profiles"))
    report(meter)


if __name__ == "__main__":
    main()
