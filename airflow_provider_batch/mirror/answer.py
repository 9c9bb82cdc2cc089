"""How the commands about mirrors answer: the same words for a folder and for tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from typing import TextIO

from airflow_provider_batch.exceptions import counted
from airflow_provider_batch.mirror.status import Generation, IdStatus, MirrorStatus


@contextmanager
def open_answer() -> Iterator[TextIO]:
    """Yield the standard output; what Airflow logs there goes to the standard error instead."""
    with os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding) as answer:
        os.dup2(2, 1)
        try:
            yield answer
        finally:
            os.dup2(answer.fileno(), 1)


def lines_of(status: MirrorStatus) -> Iterator[str]:
    """Yield the lines about a mirror, and about the ids that were asked for."""
    if status.generations:
        last = status.generations[0]
        yield f"  generation {last.number}, {_time(last)}: {counted(last.size, 'id')} ({status.audience_type})"
        if status.is_of_profiles:
            yield "  accepted by Batch, which reports nothing more about profiles"
        elif status.is_confirmed:
            yield "  confirmed: Batch has indexed it"
        else:
            yield "  not confirmed: Batch has accepted it, and nobody has seen yet that it is indexed"
    else:
        yield "  no run has ended yet"
    if status.uncertain:
        yield f"  uncertain: up to {counted(status.uncertain, 'id')}, which a run that did not end may have sent"
    if status.rejected:
        yield f"  rejected by Batch: {counted(status.rejected, 'id')}"
    if status.uncertain or status.rejected:
        yield "  the next run sends these again"
    if status.at_work:
        yield f"  at work: {status.at_work}"
    for id_, known in status.ids.items():
        yield f"  {id_}: {_sentence(status, known)}"


def _sentence(status: MirrorStatus, known: IdStatus) -> str:
    parts = [_membership(status, known)] if status.generations else []
    if known.is_rejected:
        parts.append("Batch rejected it, so it was neither added nor removed")
    if known.is_uncertain:
        parts.append("a run that did not end may have added or removed it")
    return "; ".join(parts) or "unknown, as no run has ended yet"


def _membership(status: MirrorStatus, known: IdStatus) -> str:
    last, *earlier = status.generations
    before = next((one for one in earlier if one.number in known.generations), None)
    # Of a mirror in tables, an earlier set may be some generations old; what was in between is not known.
    has_gap = bool(earlier) and earlier[0].number < last.number - 1
    if last.number in known.generations:
        return _since(status, before, has_gap)
    if before is None:
        kept = _numbers(status.generations) if has_gap else f"from generation {status.generations[-1].number}"
        return (
            f"not in the last set, nor in any that is kept ({kept}): the source did not yield it, or it was skipped "
            "as invalid"
        )
    if has_gap:
        return f"not in the last set; removed after generation {before.number}, {_time(before)}"
    return f"not in the last set; removed with generation {last.number}, {_time(last)}"


def _since(status: MirrorStatus, before: Generation | None, has_gap: bool) -> str:
    last, *earlier = status.generations
    if before is not None:
        if has_gap:
            return f"in the last set, and in that of generation {before.number}, {_time(before)}"
        return f"in the last set, since generation {before.number}, {_time(before)}, or earlier"
    since = f"in the last set, since generation {last.number}, {_time(last)}"
    if has_gap:
        since += f", or an earlier one after generation {earlier[0].number}, {_time(earlier[0])}"
    elif not earlier:
        since += "" if last.number == 1 else ", or earlier"
    return since if status.is_confirmed or status.is_of_profiles else f"{since}; not confirmed"


def _numbers(generations: Sequence[Generation]) -> str:
    return "generations " + " and ".join(str(one.number) for one in reversed(generations))


def _time(generation: Generation) -> str:
    return f"{generation.written_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
