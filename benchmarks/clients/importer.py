"""The cost of one import in a process that has imported airflow.sdk, like the DAG processor."""

from __future__ import annotations

import sys
from importlib import import_module

from benchmarks.measure import Meter, job, report


def main() -> None:
    """Import the module that the job names."""
    todo = job()
    import_module("airflow.sdk")
    known = set(sys.modules)
    with Meter() as meter:
        import_module(todo["module"])
    added = set(sys.modules) - known
    report(meter, modules=len(added), libraries=sorted(added & {"requests", "httpx", "aiohttp", "urllib3", "asyncio"}))


if __name__ == "__main__":
    main()
