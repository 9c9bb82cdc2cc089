"""Exports -> requests. Only the Customer Engagement Platform has them."""

from __future__ import annotations

import json
from typing import Final

from airflow_provider_batch.protocol.exports.export import ExportQuery
from airflow_provider_batch.protocol.limits import MAX_ENTRIES_PER_PAGE
from airflow_provider_batch.protocol.wire import Request

_REMEDIES: Final = {
    404: "Check that the export exists and is not older than three months, and the connection's login and api_version.",
}


def request_export(version: str, query: ExportQuery) -> Request:
    """https://doc.batch.com/developer/api/cep/profiles/export"""
    return Request("POST", f"/{version}/profiles/export", body=json.dumps(query.body()).encode(), remedies=_REMEDIES)


def view_export(version: str, export_id: str) -> Request:
    """https://doc.batch.com/developer/api/cep/exports/view"""
    return Request("GET", f"/{version}/exports/view", (("id", export_id),), remedies=_REMEDIES)


def list_exports(version: str, start: str | None) -> Request:
    """https://doc.batch.com/developer/api/cep/exports/list"""
    query = (("from", start),) if start is not None else ()
    return Request("GET", f"/{version}/exports/list", (*query, ("limit", str(MAX_ENTRIES_PER_PAGE))))


def download(version: str, file_id: str) -> Request:
    """https://doc.batch.com/developer/api/cep/exports/download"""
    return Request("GET", f"/{version}/exports/download", (("id", file_id),), redirects=True, remedies=_REMEDIES)
