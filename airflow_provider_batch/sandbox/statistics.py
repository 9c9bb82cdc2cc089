"""
Statistics of orchestrations, campaigns and transactional messages, read strictly; the figures grow as time passes.

Pages: https://doc.batch.com/developer/api/cep/orchestrations/list and …/stats,
https://doc.batch.com/developer/api/mep/campaigns/list and …/get, https://doc.batch.com/api/transactional/stats/.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from airflow_provider_batch.sandbox import parameters
from airflow_provider_batch.sandbox.cursor import cursor, number_in
from airflow_provider_batch.sandbox.errors import ApiError, Rejected, malformed
from airflow_provider_batch.sandbox.request import ApiRequest, Operation

if TYPE_CHECKING:
    from airflow_provider_batch.sandbox.routes import Route
    from airflow_provider_batch.sandbox.state import State

_DAY = 86_400.0
#: How long the figures of a day grow, in seconds: messages are opened later than they are sent.
_GROWTH = 2 * _DAY
#: "Cannot be earlier than 6 months ago"; the sandbox takes the longest six months.
_LONGEST = 184
_TYPES = ("campaign", "recurring", "trigger")
_FILTERS: Mapping[str, frozenset[str]] = {
    # Undocumented in what was read: filters and values. The sandbox takes what clients were seen to send.
    "status": frozenset({"draft", "running", "completed", "stopped"}),
    "type": frozenset({"campaign", "recurring", "trigger", "warmup"}),
    "channels": frozenset({"email", "push", "in-app", "sms", "universal"}),
}
_CEP_FIGURES = (
    *("sent", "delivered", "unique_open", "total_open", "unique_machine_open", "unique_click", "total_click"),
    *("spam", "unsubscribe", "total_bounce", "skipped"),
)
_MEP_FIGURES = ("sent", "sent_optins", "direct_open", "influenced_open", "reengaged", "errors")
#: The groups of transactional messages that every app has.
GROUPS = ("welcome", "receipt")


class Statistics:
    """What each app and project has sent. It began ten days before the sandbox was started."""

    def __init__(self, apps: Iterable[str], projects: Iterable[str], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock() - 10 * _DAY
        self._projects = frozenset(projects)
        self._sent: dict[str, list[str]] = {key: [] for key in (*apps, *self._projects)}
        self._forgotten: set[str] = set()
        for key in self._sent:
            self.add(key, len(_TYPES))

    def add(self, key: str, count: int) -> list[str]:
        """Add so many orchestrations or campaigns, and return what identifies them."""
        prefix = "orchestration_" if key in self._projects else ""
        start = len(self._sent[key])
        added = [
            prefix + hashlib.md5(f"{key} {number}".encode(), usedforsecurity=False).hexdigest()
            for number in range(start, start + count)
        ]
        self._sent[key] += added
        return added

    def forget(self, name: str) -> None:
        """Let the statistics of this one be unknown."""
        self._forgotten.add(name)

    def orchestrations(self, project: str) -> list[tuple[int, dict[str, Any]]]:
        """Return every orchestration with its number, newest first."""
        return [(number + 1, self._orchestration(number, name)) for number, name in self._newest(project)]

    def campaigns(self, app: str) -> list[dict[str, Any]]:
        """Return every campaign, newest first."""
        return [
            {
                "campaign_token": name,
                "dev_only": False,
                "created_date": _moment(self._began),
                "name": f"Campaign {number + 1}",
                "live": number % 2 == 0,
                "from_api": number % 3 == 0,
                "push_time": _moment(self._began + 3600),
            }
            for number, name in self._newest(app)
        ]

    def is_known(self, key: str, name: str) -> bool:
        """Whether the app or project has statistics of *name*."""
        return name in self._sent[key] and name not in self._forgotten

    def days(self, name: str, since: date, until: date, figures: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the figures of *name* on each day."""
        now = self._clock()
        day = max(since, _date(self._began))
        while day <= min(until, _date(now)):
            begin = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
            share = min(1.0, max(0.0, (now - begin) / _GROWTH))
            yield {"date": day.isoformat(), **_figures(f"{name} {day}", figures, share)}
            day += timedelta(days=1)

    def has_versions(self, project: str, name: str) -> bool:
        """Whether *name* is an A/B test: every third one is."""
        return self._sent[project].index(name) % 3 == 0

    def first_day(self) -> date:
        """Return the first day that has figures."""
        return _date(self._began)

    def today(self) -> date:
        """Return today."""
        return _date(self._clock())

    def _newest(self, key: str) -> list[tuple[int, str]]:
        return list(reversed(list(enumerate(self._sent[key]))))

    def _orchestration(self, number: int, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "type": _TYPES[number % 3],
            "channels": [("push", "email")[number % 2]],
            "platforms": ["ios", "android"],
            "source": "dashboard",
            "created_date": _moment(self._began),
            "name": f"Orchestration {number + 1}",
            "labels": [],
            "status": ("completed", "running")[number % 2],
            "start_time": _moment(self._began + 3600),
        }


def _figures(seed: str, names: Sequence[str], share: float) -> dict[str, int]:
    digest = hashlib.sha256(seed.encode()).digest()
    return {name: int(share * (digest[place] * 100 >> place)) for place, name in enumerate(names)}


def _date(moment: float) -> date:
    return datetime.fromtimestamp(moment, UTC).date()


def _moment(moment: float) -> str:
    # The examples of https://doc.batch.com/developer/api/cep/orchestrations/list have no zone.
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _list_orchestrations(request: ApiRequest, route: Route) -> Operation:
    pairs = parse_qsl(request.query, keep_blank_values=True)
    chosen = {name: {value for key, value in pairs if key == name} for name in _FILTERS}
    for name, values in chosen.items():
        if not values <= _FILTERS[name]:
            raise malformed(f"{name} must be of {', '.join(sorted(_FILTERS[name]))}")
    rest = "&".join(pair for pair in request.query.split("&") if pair.partition("=")[0] not in _FILTERS)
    query = parameters.query(
        ApiRequest(request.method, request.path, rest, request.headers, request.body), {"from", "limit"}
    )
    limit = parameters.page_limit(query)
    below = number_in(query["from"]) if "from" in query else None

    def perform(state: State) -> object:
        listed = [item for item in state.statistics.orchestrations(route.key) if _is_chosen(item[1], chosen)]
        return cursor("orchestrations", listed, below, limit)

    return Operation(200, perform)


def _is_chosen(entry: Mapping[str, Any], chosen: Mapping[str, set[str]]) -> bool:
    has = {"status": {entry["status"]}, "type": {entry["type"]}, "channels": set(entry["channels"])}
    return all(not values or values & has[name] for name, values in chosen.items())


def _orchestration_stats(request: ApiRequest, route: Route) -> Operation:
    query = parameters.query(request, {"orchestration_id", "from", "to"})
    name = parameters.required(query, "orchestration_id")
    since, until = _day(query, "from"), _day(query, "to")

    def perform(state: State) -> object:
        statistics = state.statistics
        if since < statistics.today() - timedelta(days=_LONGEST):
            raise malformed("from is earlier than 6 months ago")
        if since > until:
            raise malformed("from is after to")
        if not statistics.is_known(route.key, name):
            # Undocumented: the error for an unknown orchestration. The page lists no 404.
            raise malformed("orchestration_id is unknown")
        days = list(statistics.days(name, since, until, _CEP_FIGURES))
        if statistics.has_versions(route.key, name):
            for day in days:
                day["versions"] = [
                    {"version": version, **{key: day[key] // 2 for key in _CEP_FIGURES}} for version in ("a", "b")
                ]
        # Undocumented in what was read: the other form, of triggers. The sandbox sends them the same.
        return {"id": name, "details": days}

    return Operation(200, perform)


def _list_campaigns(request: ApiRequest, route: Route) -> Operation:
    query = parameters.query(request, {"from", "limit", "live", "from_api"})
    start, limit = parameters.integer(query, "from", default=0), parameters.page_limit(query)
    switches = {name: _switch(query[name], name) for name in ("live", "from_api") if name in query}

    def perform(state: State) -> object:
        listed = state.statistics.campaigns(route.key)
        chosen = [entry for entry in listed if all(entry[name] is value for name, value in switches.items())]
        return chosen[start : start + limit]

    return Operation(200, perform)


def _switch(value: str, name: str) -> bool:
    if value not in {"true", "false"}:
        raise malformed(f"{name} must be true or false")
    return value == "true"


def _campaign_stats(request: ApiRequest, route: Route) -> Operation:
    parameters.query(request, set())
    _check_live(route)

    def perform(state: State) -> object:
        statistics = state.statistics
        if not statistics.is_known(route.key, route.name):
            raise Rejected(ApiError.ROUTE_NOT_FOUND, "the campaign does not exist")
        days = statistics.days(route.name, statistics.first_day(), statistics.today(), _MEP_FIGURES)
        return {"campaign_token": route.name, "detail": list(days)}

    return Operation(200, perform)


def _transactional_stats(request: ApiRequest, route: Route) -> Operation:
    query = parameters.query(request, {"since", "until"})
    _check_live(route)
    since = _day(query, "since")

    def perform(state: State) -> object:
        statistics = state.statistics
        until = _day(query, "until") if "until" in query else statistics.today()
        if since >= until:
            raise malformed("since must be lower than until")
        if until - since > timedelta(days=_LONGEST):
            raise malformed("the window is longer than 6 months")
        if route.name not in GROUPS:
            # Undocumented: the error for an unknown group.
            raise Rejected(ApiError.ROUTE_NOT_FOUND, "the group does not exist")
        days = statistics.days(f"{route.key} {route.name}", since, until, _MEP_FIGURES)
        return {"group_id": route.name, "detail": list(days)}

    return Operation(200, perform)


def _check_live(route: Route) -> None:
    # Only Live keys have statistics. In the sandbox, the key of an app that begins with DEV is a Dev key.
    if route.key.startswith("DEV"):
        # Undocumented: the error for a Dev key. https://doc.batch.com/developer/api/mep/campaigns/get lists this one.
        raise Rejected(ApiError.API_MISUSE, "only Live API keys have statistics")


def _day(query: Mapping[str, str], name: str) -> date:
    value = parameters.required(query, name)
    try:
        day = date.fromisoformat(value)
    except ValueError:
        day = None
    if day is None or len(value) != 10:
        raise malformed(f"{name} must be a day such as 2026-11-25")
    return day


READERS = {
    "orchestrations/list": _list_orchestrations,
    "orchestrations/stats": _orchestration_stats,
    "campaigns/list": _list_campaigns,
    "campaigns/stats": _campaign_stats,
    "transactional/stats": _transactional_stats,
}
