"""Members with two attributes each: json.dumps of the bodies, a push of them, or the first run of a mirror."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.protocol.audiences.members import Member
from benchmarks.ids import CALL
from benchmarks.measure import Meter, job, report

#: The type of audience whose members have attributes on the older platform.
_TYPE: Final = "install_ids"


def attributes(number: int) -> dict[str, object]:
    """Return the attributes of one member."""
    return {"plan": ("free", "silver", "gold")[number % 3], "visits": number % 1_000}


def dump(count: int) -> None:
    """Encode the bodies as json.dumps does, from structures that are there already."""
    element = [{"action": "add", "id": f"user-{n:07d}", "attributes": attributes(n)} for n in range(count)]
    bodies = [{"ids": element[start : start + CALL]} for start in range(0, count, CALL)]
    with Meter() as meter:
        for body in bodies:
            json.dumps(body).encode()
    report(meter)


def main() -> None:
    """Do what the job says with its number of members, which are in memory before the clock starts."""
    todo = job()
    if todo["way"] == "json.dumps":
        dump(todo["ids"])
        return
    members = [Member(f"user-{n:07d}", attributes(n)) for n in range(todo["ids"])]
    hook = BatchHook()
    # Imports what the work needs, and opens the session.
    hook.get_conn()
    folder = Path(todo["home"])
    if todo["way"] == "push":
        hook.update_custom_audience("vip", add_ids=[Member("a", {"b": "c"})], audience_type=_TYPE)
        with Meter() as meter:
            hook.update_custom_audience("vip", add_ids=members, audience_type=_TYPE)
    else:
        hook.mirror_custom_audience("warm", ["a"], snapshot_path=folder, audience_type=_TYPE)
        with Meter() as meter:
            hook.mirror_custom_audience("vip", members, snapshot_path=folder, audience_type=_TYPE)
    report(meter)


if __name__ == "__main__":
    main()
