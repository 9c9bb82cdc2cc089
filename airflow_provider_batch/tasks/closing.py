"""The last line of a task's log, which a person can read aloud: what was asked, what became of it, what to do next."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    Return what a push of ids did, in sentences.

    :param summary: the counts, as in the XCom of that name.
    :param audience: the last view of the wait; None if there was none.
    :param waits: whether the task waits until its writes are indexed.
    :param seconds: how long that took, if it is known.
    :param difference: how Batch's count differs from that of a mirror, and what to do.
    """
    is_dry_run, has_sent = "dry_run" in summary, summary["calls"] > 0
    sentences = [_asked(summary), _dry_run(summary) if is_dry_run else _sent(summary), _left_out(summary)]
    steps = [difference, *_next(summary)] if difference else _next(summary)
    if audience is not None:
        sentences.append(_indexed(audience, seconds))
    elif has_sent and not waits and not is_dry_run:
        steps.append("Wait until Batch has indexed this, before a campaign uses the audience.")
    return _joined(sentences, steps)


def profiles_line(name: str, summary: Mapping[str, Any]) -> str:
    """
    Return what a push of profiles did, in sentences.

    :param name: what the push is called.
    :param summary: the counts, as in the XCom of that name.
    """
    # What is cleared was not given.
    given = summary["accepted"] + summary.get("unchanged", 0) + summary["duplicates"] + summary["rejected"]
    sentences = [f"{name}: {counted(given, 'row')} given.", _profiles_sent(summary), _left_out(summary)]
    return _joined(sentences, _next(summary))


def export_line(name: str, summary: Mapping[str, Any], path: str) -> str:
    """
    Return what an export has brought back, in sentences.

    :param name: what the export is called.
    :param summary: the counts, as in the XCom of that name.
    :param path: where the files are.
    """
    rows, files = counted(summary["rows"], "row"), counted(summary["parts"], "file")
    size = counted(summary["bytes"], "byte")
    return _joined([f"{name}: {rows} ({size}) in {files} at {path}, after {summary['seconds']:,.1f} s."], [])


def statistics_line(name: str, summary: Mapping[str, Any], read: str, path: str | None) -> str:
    """
    Return which statistics were read, in sentences.

    :param name: what they are called.
    :param summary: the counts, as in the XCom of that name.
    :param read: what was read, counted.
    :param path: where the file is; None if the rows are returned.
    """
    rows = counted(summary["rows"], "row")
    place = f"written to {path}" if path else "returned"
    sentences = [f"{name}: {read} read. {rows} {place}, after {summary['seconds']:,.1f} s."]
    if not summary["missing_count"]:
        return _joined(sentences, [])
    reason = summary["missing"][0]["reason"].removesuffix(".")
    sentences.append(f"Left out: {summary['missing_count']:,} that cannot be read (the first: {reason}).")
    return _joined(sentences, ["Correct what the summary has as their reasons, then clear the task."])


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
    # What a mirror without changes counts are the calls of an earlier run, whose indexing it waits for.
    has_changed = summary["added"] or summary["removed"] or summary.get("replaced")
    if not summary["calls"] or ("unchanged" in summary and not has_changed):
        return _nothing_sent(summary)
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


def _profiles_sent(summary: Mapping[str, Any]) -> str:
    if not summary["calls"]:
        return _nothing_sent(summary)
    profiles, calls = counted(summary["accepted"], "profile"), counted(summary["calls"], "call")
    if "dry_run" in summary:
        cleared = f" and {summary['cleared']:,} to clear" if summary.get("cleared") else ""
        return f"{profiles} to send{cleared} in {calls}; nothing was sent."
    cleared = f" and {summary['cleared']:,} cleared" if summary.get("cleared") else ""
    return f"{profiles} accepted{cleared} in {calls} and {summary['seconds']:,.1f} s."


def _nothing_sent(summary: Mapping[str, Any]) -> str:
    return "Nothing was sent, as nothing has changed." if "unchanged" in summary else "Nothing was sent."


def _next(summary: Mapping[str, Any]) -> list[str]:
    """Return what is to be done after any push with these counts."""
    steps = ["Correct the rejected values in the source."] if summary["rejected"] else []
    return [*steps, "Run it without dry_run."] if "dry_run" in summary else steps


def _joined(sentences: Iterable[str], steps: Sequence[str]) -> str:
    return " ".join((*filter(None, sentences), "Next: " + " ".join(steps) if steps else "Nothing is left to do."))


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
