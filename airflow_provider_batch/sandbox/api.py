"""The API without a network: a request becomes the response that Batch's pages describe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_batch.sandbox import cep, exports, mep, profiles, statistics
from airflow_provider_batch.sandbox.errors import CEP_ERRORS, ApiError, ErrorFormat, ErrorKeys, Rejected
from airflow_provider_batch.sandbox.rate import ProfileLimits, RateLimit
from airflow_provider_batch.sandbox.request import ApiRequest, Operation, Redirect
from airflow_provider_batch.sandbox.routes import Platform, Route, route_of
from airflow_provider_batch.sandbox.state import State

JSON_HEADERS: Mapping[str, str] = {"Content-Type": "application/json"}
CEP_DEFAULT_VERSION = "2.11"

#: What is not about audiences.
_READERS = {**exports.READERS, **statistics.READERS}


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """One HTTP response; for the record of calls, the elements of a valid request and the *reason* of a rejection."""

    status: int
    content: bytes
    headers: Mapping[str, str]
    adds: int = 0
    removes: int = 0
    reason: str = ""


@dataclass(frozen=True, repr=False)
class Api:
    """
    The audience APIs 1.0, 1.1 and 2.x over one state.

    :param error_keys: the keys of code and message in an error body of 1.0 and 1.1.
    :param api_version: the one version of 2.x that exists; None if all versions exist.
    :param rate_limit: the limit for each app and project; None for no limit.
    :param profile_limits: how many profiles the projects may write in a time; None for any number.
    """

    state: State
    rest_api_key: str
    error_keys: ErrorKeys
    api_version: str | None = CEP_DEFAULT_VERSION
    rate_limit: RateLimit | None = None
    profile_limits: ProfileLimits | None = None

    def error_format(self, platform: Platform) -> ErrorFormat:
        """Return the form in which *platform* sends its errors."""
        return CEP_ERRORS if platform == "cep" else ErrorFormat(self.error_keys, numbered=True)

    def respond(self, request: ApiRequest, *, perform: bool = True, late: float = 0.0) -> ApiResponse:
        """Return the response to *request*; it writes only with *perform*, and is applied *late* seconds later."""
        route = route_of(request)
        adds = removes = 0
        try:
            operation = self._read(request, route)
            adds, removes = operation.adds, operation.removes
            self.state.late = late
            body = operation.perform(self.state) if perform else None
            if isinstance(body, Redirect):
                return ApiResponse(operation.status, b"", {"Location": body.location})
            content = json.dumps({} if body is None else body).encode()
            return ApiResponse(operation.status, content, JSON_HEADERS, adds, removes)
        except Rejected as rejection:
            status, content = self.error_format(route.platform).encode(rejection.error, rejection.reason)
            return ApiResponse(status, content, JSON_HEADERS, adds, removes, rejection.reason)

    def _read(self, request: ApiRequest, route: Route) -> Operation:
        # Undocumented: which error comes first. The sandbox checks route, keys, rate, parameters, then audience.
        if route.verb is None:
            raise Rejected(ApiError.ROUTE_NOT_FOUND, "the route does not exist")
        if route.platform == "cep" and self.api_version not in {None, route.version}:
            raise Rejected(ApiError.ROUTE_NOT_FOUND, "the version of the API does not exist")
        self._check_keys(request, route)
        if self.rate_limit and not self.rate_limit.admits(route.key):
            raise Rejected(ApiError.TOO_MANY_REQUESTS, "the app or project exceeds its rate limit, or did not wait")
        if route.verb in profiles.MAX_ENTRIES:
            return self._read_profiles(request, route)
        if reader := _READERS.get(route.verb):
            return reader(request, route)
        return mep.read(request, route) if route.platform == "mep" else cep.read(request, route)

    def _read_profiles(self, request: ApiRequest, route: Route) -> Operation:
        arrived = self.profile_limits.clock() if self.profile_limits else 0.0  # reading many profiles takes a while
        operation = profiles.read(request, route)
        if self.profile_limits and not self.profile_limits.admits(route.key, route.verb or "", operation.adds, arrived):
            raise Rejected(
                ApiError.TOO_MANY_REQUESTS, "the project writes more profiles than the route takes in a time"
            )
        return operation

    def _check_keys(self, request: ApiRequest, route: Route) -> None:
        if route.platform == "mep":
            header, scheme, known, named = "X-Authorization", "", self.state.apps, "the app key in the path"
        else:
            header, scheme, known, named = "Authorization", "Bearer ", self.state.projects, "X-Batch-Project"
        if request.headers.get(header.lower()) != scheme + self.rest_api_key:
            raise Rejected(ApiError.AUTHENTICATION_INVALID, f"{header} is missing or wrong")
        if route.key not in known:
            # The 2.x pages document this error for a key that is not valid for the project.
            # Undocumented: the error for a missing or unknown project, and for an unknown app key.
            raise Rejected(ApiError.AUTHENTICATION_INVALID, f"{named} is missing or unknown")
