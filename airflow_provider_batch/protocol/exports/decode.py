"""Answers about exports -> values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_batch.exceptions import BatchProtocolError
from airflow_provider_batch.protocol.answers import json_object, one_line, typed
from airflow_provider_batch.protocol.exports.export import Export, ExportFile, ExportState
from airflow_provider_batch.protocol.pages import page_of
from airflow_provider_batch.protocol.wire import Request, Response


def export_id(response: Response, request: Request) -> str:
    """Return the id of an export that was accepted."""
    found = json_object(response, request).get("id")
    if not isinstance(found, str) or not found:
        raise BatchProtocolError(f"{request.route}: answered {response.status} without the id of an export")
    return found


def export(response: Response, request: Request) -> Export:
    """Return an export, which must have a state and, once it is done, the ids of its files."""
    view = json_object(response, request)
    reported = view.get("status")
    if not isinstance(reported, str):
        raise BatchProtocolError(f"{request.route}: answered {response.status} without a status")
    state = ExportState(reported) if reported in ExportState.__members__ else ExportState.UNKNOWN
    files = _files(view, request) if state is ExportState.SUCCESS else ()
    return Export(dict(request.query)["id"], state, one_line(reported)[:64], files)


def _files(view: Mapping[str, Any], request: Request) -> tuple[ExportFile, ...]:
    files = view.get("files")
    # No page shows a finished export without data: no files at all are taken for that.
    listed = [] if files is None else files
    if not isinstance(listed, list) or not all(isinstance(each, dict) and _is_id(each.get("id")) for each in listed):
        raise BatchProtocolError(f"{request.route}: the export is done, but its files have no ids")
    ordered = sorted(listed, key=lambda each: typed(each.get("part"), int) or 0)
    return tuple(ExportFile(each["id"], number, typed(each.get("size"), int)) for number, each in enumerate(ordered, 1))


def _is_id(value: object) -> bool:
    return isinstance(value, str) and bool(value)


#: Reads a page of the list of exports.
exports_page = page_of("exports")


def address(response: Response, request: Request) -> str:
    """Return the address of a file. It opens the file for everyone, so it must not be logged."""
    location = response.headers.get("location", "").strip()
    if response.status not in (301, 302, 303, 307, 308) or not location:
        raise BatchProtocolError(f"{request.route}: answered {response.status} without the address of the file")
    return location
