"""Answer one request as Batch's pages tell: check its route, its keys and its rate, then read it. Knows no socket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from . import cep, mep
from .errors import CEP_ERRORS, ApiError, ErrorKeys, ErrorStyle, Refused, mep_errors
from .rate import RateLimit
from .request import Operation, Question, refuse
from .routes import Platform, Route, route_of
from .state import State

JSON_HEADERS: Mapping[str, str] = {"Content-Type": "application/json"}
CEP_DEFAULT_VERSION = "2.11"


@dataclass(frozen=True, slots=True)
class Answer:
    """*adds* and *removes* count the elements that were understood, for the record of calls."""

    status: int
    content: bytes
    headers: Mapping[str, str]
    adds: int = 0
    removes: int = 0


class Api:
    """*error_keys* are MEP's. *api_version* is the only 2.x that exists, None: all do. *rate_limit* is CEP's."""

    def __init__(
        self,
        state: State,
        rest_api_key: str,
        error_keys: ErrorKeys,
        *,
        api_version: str | None = CEP_DEFAULT_VERSION,
        rate_limit: RateLimit | None = None,
    ) -> None:
        self._state = state
        self._rest_api_key = rest_api_key
        self._api_version = api_version
        self._rate_limit = rate_limit
        self._styles: dict[Platform, ErrorStyle] = {"mep": mep_errors(error_keys), "cep": CEP_ERRORS}

    def error_style(self, platform: Platform) -> ErrorStyle:
        return self._styles[platform]

    def answer(self, question: Question, *, perform: bool = True) -> Answer:
        """Answer *question*; without *perform* it is only read and counted, and nothing changes."""
        route = route_of(question)
        adds = removes = 0
        try:
            operation = self._read(question, route)
            adds, removes = operation.adds, operation.removes
            body = operation.perform(self._state) if perform else {}
            return Answer(operation.status, json.dumps(body).encode(), JSON_HEADERS, adds, removes)
        except Refused as refusal:
            status, content = self.error_style(route.platform).answer(refusal.error, refusal.reason)
            return Answer(status, content, JSON_HEADERS, adds, removes)

    def _read(self, question: Question, route: Route) -> Operation:
        # not documented: which of several faults is told first. Here: route, keys, rate, body, parameters, audience.
        if route.verb is None:
            refuse(ApiError.ROUTE_NOT_FOUND, "no such route")
        if route.platform == "mep":
            self._check_app(question, route)
            return mep.read(question, route)
        if self._api_version not in {None, route.version}:
            refuse(ApiError.ROUTE_NOT_FOUND, "no such version of the API")
        self._check_project(question, route)
        if self._rate_limit and not self._rate_limit.admits(route.key):
            refuse(ApiError.TOO_MANY_REQUESTS, "this project asks too often")
        return cep.read(question, route)

    def _check_app(self, question: Question, route: Route) -> None:
        if question.headers.get("x-authorization") != self._rest_api_key:
            refuse(ApiError.AUTHENTICATION_INVALID, "X-Authorization is missing or wrong")
        if route.key not in self._state.apps:
            # not documented: the error for an unknown app key.
            refuse(ApiError.AUTHENTICATION_INVALID, "the app's API key in the path is unknown")

    def _check_project(self, question: Question, route: Route) -> None:
        if question.headers.get("authorization") != f"Bearer {self._rest_api_key}":
            refuse(ApiError.AUTHENTICATION_INVALID, "Authorization is missing or wrong")
        if route.key not in self._state.projects:
            # Documented is a key that is not valid for the project. not documented: a missing project.
            refuse(ApiError.AUTHENTICATION_INVALID, "X-Batch-Project is missing or unknown")
