"""drt-core's REST destination in its batch mode, with a source that costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drt.config.models import (  # type: ignore[import-not-found]  # in the peers' environment
    RateLimitConfig,
    RestApiDestinationConfig,
    SyncConfig,
    SyncOptions,
)
from drt.config.profiles import SQLiteProfile  # type: ignore[import-not-found]
from drt.destinations.rest_api import RestApiDestination  # type: ignore[import-not-found]
from drt.engine.sync import run_sync  # type: ignore[import-not-found]

from benchmarks.ids import CALL, plain
from benchmarks.measure import Meter, job, report

_TEMPLATE = (
    '{"type":"custom_ids","ids":[{% for row in rows %}{"action":"add","id":{{ row.id | tojson_safe }}}'
    "{% if not loop.last %},{% endif %}{% endfor %}]}"
)


class Source:
    """A source that yields the rows of a query."""

    def __init__(self, count: int) -> None:
        self._count = count

    def extract(self, query: str, config: object, *, query_tags: object = None) -> Iterator[dict[str, Any]]:
        """Yield the rows one by one."""
        return ({"id": id_} for id_ in plain(self._count))

    def test_connection(self, config: object) -> bool:
        """Return True: the source is always available."""
        return True


def main() -> None:
    """Run one sync."""
    todo = job()
    destination = RestApiDestinationConfig(
        type="rest_api",
        url=todo["url"] + todo["path"],
        method="PATCH",
        headers={"Content-Type": "application/json", "X-Authorization": "REST_KEY"},
        body_mode="batch",
        batch_template=_TEMPLATE,
        rate_limit=RateLimitConfig(requests_per_second=1_000_000),
    )
    options = SyncOptions(mode="full", batch_size=CALL, on_error="fail")
    sync = SyncConfig(name="vip", model="select id from vip", destination=destination, sync=options)
    with Meter() as meter:
        run_sync(sync, Source(todo["ids"]), RestApiDestination(), SQLiteProfile(type="sqlite"), Path(todo["home"]))
    report(meter)


if __name__ == "__main__":
    main()
