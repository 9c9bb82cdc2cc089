"""
Exports of profiles, read strictly: their requests, their states, and their files.

Pages: https://doc.batch.com/developer/api/cep/profiles/export, and view, list and download under
https://doc.batch.com/developer/api/cep/exports/. The last three were read in full; of the first, only ATTRIBUTES.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_batch.sandbox import parameters
from airflow_provider_batch.sandbox.cursor import cursor, number_in
from airflow_provider_batch.sandbox.errors import ApiError, Rejected, malformed
from airflow_provider_batch.sandbox.request import ApiRequest, Operation, Redirect

if TYPE_CHECKING:
    from airflow_provider_batch.sandbox.routes import Route
    from airflow_provider_batch.sandbox.state import State

#: https://doc.batch.com/developer/api/cep/exports/download
ADDRESS_LIFETIME = 20 * 60.0
LOOKBACK = 90 * 86_400.0
IDENTIFIERS = frozenset({"custom_id", "installation_ids"})
_SCOPES = {
    "ATTRIBUTES": "PROFILE_ATTRIBUTES",
    # Undocumented: scopes and fields of the other types. The sandbox takes what clients were seen to send.
    "EVENTS": "PROFILE_EVENTS",
    "REACHABILITY": "PROFILE_REACHABILITY",
}
_FIELDS = {
    "ATTRIBUTES": frozenset({"attributes", "identifiers", "filter"}),
    "EVENTS": frozenset({"from", "to", "events", "channels", "identifiers", "filter"}),
    "REACHABILITY": frozenset({"from", "to", "channels", "identifiers", "filter"}),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an export."""

    id: str
    content: bytes


@dataclass(slots=True)
class Export:
    """One export: what was requested, and the files that it has once it is done."""

    number: int
    id: str
    request: Mapping[str, Any]
    requested: float
    due: float
    fails: bool
    parts: list[Part] = field(default_factory=list)

    def status(self, now: float) -> str:
        """Return its state."""
        if now >= self.due:
            return "ERROR" if self.fails else "SUCCESS"
        # Undocumented: how long each state lasts. In the sandbox, all the same.
        share = (now - self.requested) / (self.due - self.requested)
        return ("CREATED", "PENDING", "RUNNING")[min(2, int(3 * share))]


class Exports:
    """
    The exports of every project; safe to share between threads.

    :param delay: seconds until an export is done.
    :param rows_per_part: the most records of one file. Batch's limit is 100 MB.
    """

    def __init__(self, projects: Iterable[str], clock: Callable[[], float], delay: float, rows_per_part: int) -> None:
        self._exports: dict[str, list[Export]] = {project: [] for project in projects}
        self._addresses: dict[str, tuple[bytes, float]] = {}
        self._clock = clock
        self._delay = delay
        self._rows_per_part = rows_per_part
        self._lock = threading.Lock()
        #: How many of the next exports end in ERROR.
        self.failing = 0
        #: The records of a project's next exports, if a test has set them.
        self.records: dict[str, list[Mapping[str, Any]]] = {}
        #: How many requests for a file came with a key, or with a header of this provider.
        self.leaks = 0

    def request(self, project: str, body: Mapping[str, Any], profiles: Iterable[Mapping[str, Any]]) -> str:
        """Accept a request and return the id of the export."""
        now = self._clock()
        records = self.records.get(project)
        rows = list(profiles) if records is None else records
        with self._lock:
            export = Export(
                number=len(self._exports[project]) + 1,
                id=f"export_{secrets.token_hex(16)}",
                request=body,
                requested=now,
                due=now + self._delay,
                fails=self.failing > 0,
            )
            self.failing = max(0, self.failing - 1)
            for start in range(0, len(rows), self._rows_per_part):
                part = rows[start : start + self._rows_per_part]
                export.parts.append(Part(f"file_{secrets.token_hex(16)}", _content(part, len(export.parts))))
            self._exports[project].append(export)
            return export.id

    def view(self, project: str, export_id: str, version: str, host: str) -> dict[str, Any]:
        """Return what the view route answers."""
        for export in self._exports[project]:
            if export.id == export_id:
                return self._encoded(export, version, host)
        # Undocumented: the error for an unknown export.
        raise Rejected(ApiError.ROUTE_NOT_FOUND, "the export does not exist")

    def listed(self, project: str, version: str, host: str) -> list[tuple[int, dict[str, Any]]]:
        """Return every export with its number, newest first."""
        return [(export.number, self._encoded(export, version, host)) for export in reversed(self._exports[project])]

    def address(self, project: str, file_id: str) -> str:
        """Return the secret of a new address of a file."""
        now = self._clock()
        for export in self._exports[project]:
            for part in export.parts:
                if part.id == file_id:
                    if export.status(now) != "SUCCESS":
                        raise malformed("the export is not done")
                    secret = secrets.token_urlsafe(24)
                    self._addresses[secret] = (part.content, now + ADDRESS_LIFETIME)
                    return secret
        raise Rejected(ApiError.ROUTE_NOT_FOUND, "the file does not exist")

    def expire_addresses(self) -> None:
        """Let every address expire now."""
        for secret, (content, _) in list(self._addresses.items()):
            self._addresses[secret] = (content, 0.0)

    def fetch(self, secret: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Return the status and body of a request for a file, as a storage answers that is not Batch's own."""
        names = {"authorization", "x-authorization", "x-batch-project"}
        if names & headers.keys() or "airflow" in headers.get("user-agent", "").lower():
            self.leaks += 1
            return 400, b"<Error><Code>InvalidArgument</Code></Error>"
        content, until = self._addresses.get(secret, (b"", 0.0))
        if self._clock() >= until:
            return 403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
        return 200, content

    def _encoded(self, export: Export, version: str, host: str) -> dict[str, Any]:
        status = export.status(self._clock())
        view: dict[str, Any] = {
            "id": export.id,
            "request_date": _date(export.requested),
            "scope": _SCOPES[export.request["export_type"]],
            "status": status,
            "request": export.request,
        }
        if status == "SUCCESS":  # "Some information are only available when the status field is SUCCESS"
            download = f"http://{host}/{version}/exports/download?id="
            view |= {"start_date": _date(export.requested), "completion_date": _date(export.due)}
            view["files"] = [
                {"id": part.id, "part": number, "size": len(part.content), "url": f"{download}{part.id}"}
                for number, part in enumerate(export.parts, 1)
            ]
        return view


def _content(rows: Iterable[Mapping[str, Any]], place: int) -> bytes:
    # Undocumented: whether a file is an array or has one record a line. In the sandbox, files take turns.
    if place % 2:
        return "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    return json.dumps(rows).encode()


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _export(request: ApiRequest, route: Route) -> Operation:
    body = parameters.body(request, frozenset({"export_type"}).union(*_FIELDS.values()))
    export_type = parameters.choice(body, "export_type", _SCOPES.keys())
    if body.keys() - {"export_type"} - _FIELDS[export_type]:
        raise malformed(f"a parameter is not one of {export_type}")
    for name in ("attributes", "identifiers", "events", "channels"):
        _check_names(body, name)
    if not set(body.get("identifiers", ())) <= IDENTIFIERS:
        raise malformed(f"identifiers must be of {', '.join(sorted(IDENTIFIERS))}")
    if export_type == "ATTRIBUTES" and not body.keys() & {"attributes", "identifiers"}:
        raise Rejected(ApiError.MISSING_PARAMETER, "attributes, identifiers or both are missing")
    _check_filter(body, route.version)
    since, until = _moment(body, "from"), _moment(body, "to")

    def perform(state: State) -> object:
        if since is not None and since < state.clock() - LOOKBACK:
            raise malformed("from is older than the lookback of 90 days")
        if since is not None and until is not None and since > until:
            raise malformed("from is after to")
        return {"id": state.exports.request(route.key, body, state.profiles(route.key))}

    return Operation(202, perform)


def _check_names(body: Mapping[str, Any], name: str) -> None:
    value = body.get(name, [""])
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise malformed(f"{name} must be an array of strings that is not empty")


def _check_filter(body: Mapping[str, Any], version: str) -> None:
    if "filter" not in body:
        return
    # https://doc.batch.com/developer/api/cep/profiles/export has it from 2.7 on.
    if int(version.partition(".")[2]) < 7:
        raise malformed("filter needs version 2.7")
    chosen = body["filter"]
    if not isinstance(chosen, dict) or list(chosen) != ["segment"] or not isinstance(chosen["segment"], str):
        raise malformed("filter must be an object with a segment")


def _moment(body: Mapping[str, Any], name: str) -> float | None:
    value = body.get(name, "now")
    if value == "now":
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise malformed(f"{name} must be a date in RFC 3339, or now") from None
    if moment.tzinfo is None:
        raise malformed(f"{name} must have a time zone")
    return moment.timestamp()


def _view(request: ApiRequest, route: Route) -> Operation:
    export_id = parameters.required(parameters.query(request, {"id"}), "id")
    host = request.headers.get("host", "")
    return Operation(200, lambda state: state.exports.view(route.key, export_id, route.version, host))


def _list(request: ApiRequest, route: Route) -> Operation:
    query = parameters.query(request, {"from", "limit"})
    limit, host = parameters.page_limit(query), request.headers.get("host", "")
    below = number_in(query["from"]) if "from" in query else None
    return Operation(
        200, lambda state: cursor("exports", state.exports.listed(route.key, route.version, host), below, limit)
    )


def _download(request: ApiRequest, route: Route) -> Operation:
    file_id = parameters.required(parameters.query(request, {"id"}), "id")
    host = request.headers.get("host", "")

    def perform(state: State) -> object:
        return Redirect(f"http://{host}/sandbox/files/{state.exports.address(route.key, file_id)}")

    return Operation(307, perform)


READERS = {
    "profiles/export": _export,
    "exports/view": _view,
    "exports/list": _list,
    "exports/download": _download,
}
