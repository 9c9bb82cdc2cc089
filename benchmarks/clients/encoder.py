"""The CPU of building bodies without sending them: by the floor, and by the protocol for the same ids."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

from airflow_provider_batch.protocol.audiences.chunk import Chunks
from airflow_provider_batch.protocol.audiences.encode import update_custom_audience
from airflow_provider_batch.protocol.audiences.intake import MemberIntake
from airflow_provider_batch.protocol.dialect import MEP_1_0
from benchmarks.ids import CALL, in_calls, joined, made
from benchmarks.measure import Meter, job, report

_ROUNDS = 3


def making(ids: Iterator[str]) -> None:
    """Generate the ids, and do nothing else."""
    deque(in_calls(ids), maxlen=0)


def floor(ids: Iterator[str]) -> None:
    """Generate the ids, join them into bodies, and encode these to UTF-8."""
    for block in in_calls(ids):
        joined(block)


def escaping_floor(ids: Iterator[str]) -> None:
    """Do the same for ids that need escaping."""
    opening = '{"action":"add","id":'
    for block in in_calls(ids):
        ('{"type":"custom_ids","ids":[' + opening + f"}},{opening}".join(map(json.dumps, block)) + "}]}").encode()


def protocol(ids: Iterator[str]) -> None:
    """Check, chunk and encode the ids as a push does."""
    intake = partial(MemberIntake, name="vip", rules=MEP_1_0.members, block_size=CALL)
    for chunk in Chunks(intake(ids, "add_ids"), intake((), "remove_ids"), size=CALL):
        update_custom_audience(MEP_1_0, "vip", "custom_ids", chunk)


def cpu(work: Callable[[Iterator[str]], None], ids: Iterator[str]) -> float:
    """Return the CPU seconds of *work* for *ids*."""
    with Meter() as meter:
        work(ids)
    return meter.cpu


def main() -> None:
    """Measure all of them for one kind of ids, one after the other, in several rounds."""
    todo = job()
    kind, count = todo["kind"], todo["ids"]
    contenders = {
        "made": (making, 1),
        "floor": (escaping_floor if todo["escaping"] else floor, 1),
        "protocol": (protocol, 1),
        "unsorted": (protocol, -1),
    }
    with Meter() as meter:
        rounds = [
            {name: cpu(work, made(kind, count, step)) for name, (work, step) in contenders.items()}
            for _ in range(_ROUNDS)
        ]
    report(meter, **{name: min(one[name] for one in rounds) / count * 1e9 for name in contenders})


if __name__ == "__main__":
    main()
