"""The last line of a task's log, which a person can read aloud: what was asked, what became of it, what to do next."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow_provider_batch.exceptions import BatchError, counted


def closing_line(
    summary: Mapping[str, Any],
    *,
    audience: Mapping[str, Any] | None,
    waits: bool,
    seconds: float | None = None,
    difference: str | None = None,
) -> str:
    """
    Return what a push did, in sentences.

    :param summary: the counts, as in the XCom of that name.
    :param audience: the last view of the wait; None if there was none.
    :param waits: whether the task waits until its writes are indexed.
    :param seconds: how long that took, if it is known.
    :param difference: how Batch's count differs from that of a mirror, and what to do.
    """
    is_dry_run, has_sent = "dry_run" in summary, summary["calls"] > 0
    sentences = [_asked(summary), _dry_run(summary) if is_dry_run else _sent(summary), _left_out(summary)]
    steps = [difference] if difference else []
    if summary["rejected"]:
        steps.append("Correct the rejected values in the source.")
    if is_dry_run:
        steps.append("Run it without dry_run.")
    elif audience is not None:
        sentences.append(_indexed(audience, seconds))
    elif has_sent and not waits:
        steps.append("Wait until Batch has indexed this, before a campaign uses the audience.")
    return " ".join((*filter(None, sentences), "Next: " + " ".join(steps) if steps else "Nothing is left to do."))


@contextmanager
def closing_failure(log: Any, name: str) -> Iterator[None]:
    """Log how the work on *name* ended if it fails, and whether a retry can help."""
    began = time.monotonic()
    try:
        yield
    except BatchError as error:
        reason = str(error).removeprefix(f"{name}: ").removesuffix(".")
        step = (
            "Airflow tries again, if the task has retries left"
            if error.retryable
            else "correct it, then clear the task"
        )
        log.error("%s: failed after %.1f s: %s. Next: %s.", name, time.monotonic() - began, reason, step)
        raise


def _asked(summary: Mapping[str, Any]) -> str:
    # What a mirror removes was not given.
    others = summary["unchanged"] if "unchanged" in summary else summary["removed"]
    given = summary["added"] + others + summary["duplicates"] + summary["rejected"]
    return f"{summary['audience']}: {counted(given, 'value')} given."


def _sent(summary: Mapping[str, Any]) -> str:
    if not summary["calls"]:
        return "Nothing was sent, as nothing has changed." if "unchanged" in summary else "Nothing was sent."
    took = f" and {summary['seconds']:,.1f} s" if "seconds" in summary else ""
    end = f" in {counted(summary['calls'], 'call')}{took}."
    if summary.get("replaced"):
        return f"{counted(summary['added'], 'id')} replaced all members{end}"
    return f"{counted(summary['added'], 'id')} added and {summary['removed']:,} removed{end}"


def _dry_run(summary: Mapping[str, Any]) -> str:
    calls = counted(summary["calls"], "call")
    return (
        f"{counted(summary['added'], 'id')} to add and {summary['removed']:,} to remove in {calls}; nothing was sent."
    )


def _left_out(summary: Mapping[str, Any]) -> str:
    parts = [f"{summary['unchanged']:,} unchanged"] if summary.get("unchanged") else []
    if summary["duplicates"]:
        parts.append(counted(summary["duplicates"], "duplicate"))
    if summary["rejected"]:
        first = f" (the first: {summary['rejections'][0].removesuffix('.')})" if summary.get("rejections") else ""
        parts.append(f"{summary['rejected']:,} rejected{first}")
    return f"Left out: {', '.join(parts)}." if parts else ""


def _indexed(audience: Mapping[str, Any], seconds: float | None) -> str:
    after = f" after {seconds:,.0f} s" if seconds is not None else ""
    nb_ids = audience.get("nb_ids")
    return f"Batch has indexed this{after}" + ("." if nb_ids is None else f", and counts {counted(nb_ids, 'id')}.")
