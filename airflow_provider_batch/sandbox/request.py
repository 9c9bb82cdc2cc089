"""A request as the API sees it, and the operation that a valid request asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_batch.sandbox.state import State


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One HTTP request; *path* is percent-encoded, and the names of *headers* are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Redirect:
    """The body of a response that has none, but a ``Location``."""

    location: str


@dataclass(frozen=True, slots=True)
class Operation:
    """
    What a valid request asks for, the status of its response, and how many ids it adds and removes.

    :param perform: carries the operation out and returns the body of the response, or a :class:`Redirect`; None stands
        for an empty object.
    """

    status: int
    perform: Callable[[State], object]
    adds: int = 0
    removes: int = 0
