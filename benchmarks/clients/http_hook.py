"""Airflow's own HttpHook, in a loop."""

from __future__ import annotations

import json
import logging

from airflow.providers.http.hooks.http import HttpHook  # in the peers' environment

from benchmarks.ids import in_calls, payload, plain
from benchmarks.measure import Meter, job, report

_HEADERS = {"Content-Type": "application/json", "X-Authorization": "REST_KEY"}


def main() -> None:
    """Send one call after the other."""
    todo = job()
    logging.disable(logging.INFO)
    hook = HttpHook(method="PATCH")
    with Meter() as meter:
        for block in in_calls(plain(todo["ids"])):
            hook.run(todo["path"], data=json.dumps(payload(block)), headers=_HEADERS)
    report(meter)


if __name__ == "__main__":
    main()
