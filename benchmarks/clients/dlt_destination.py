"""dlt with a custom destination, which dlt calls with 10,000 rows at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from benchmarks.ids import CALL, in_calls, payload, plain
from benchmarks.measure import Meter, job, report

JOB = job()
os.environ |= {
    "DLT_DATA_DIR": JOB["home"],
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    # dlt loads file by file: to load in parallel, it needs several files.
    "DATA_WRITER__FILE_MAX_ITEMS": str(JOB["ids"] if JOB["connections"] == 1 else 5 * CALL),
}

import dlt  # type: ignore[import-not-found]  # noqa: E402 - in the peers' environment; reads its settings on import
import requests  # noqa: E402

_SESSION = requests.Session()


@dlt.destination(  # type: ignore[untyped-decorator]
    batch_size=CALL,
    name="audience",
    naming_convention="direct",
    loader_parallelism_strategy="sequential" if JOB["connections"] == 1 else "parallel",
    max_parallel_load_jobs=JOB["connections"],
)
def audience(items: list[dict[str, Any]], table: object) -> None:
    """Send one call."""
    body = payload([item["id"] for item in items])
    answer = _SESSION.patch(JOB["url"] + JOB["path"], json=body, headers={"X-Authorization": "REST_KEY"}, timeout=60)
    answer.raise_for_status()


def pages() -> Iterator[list[dict[str, str]]]:
    """Yield the rows in pages: with single rows, dlt is even slower."""
    for block in in_calls(plain(JOB["ids"])):
        yield [{"id": id_} for id_ in block]


def main() -> None:
    """Run one pipeline: extract, normalize, load."""
    with Meter() as meter:
        dlt.pipeline("bench", destination=audience, dataset_name="bench").run(dlt.resource(pages, name="vip"))
    report(meter)


if __name__ == "__main__":
    main()
