"""Requests and responses as plain values, without host, keys and identity headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.protocol.limits import Quota


@dataclass(frozen=True, slots=True)
class Request:
    """
    One call.

    :param path: has ``{api_key}`` in place of the app's key.
    :param private: returns every private text in the body, such as ids. It is called only to redact an error: most
        calls succeed.
    :param audience_name: the audience of the call, wherever its name stands in it.
    :param quota: the limit that it counts against, with so many *ids*; None for one that counts calls.
    :param shareable: whether one answer serves all who make this very request at the same time.
    :param redirects: whether a redirect is the documented answer. It is never followed with our keys.
    :param remedies: what to do about a status, where the general advice is about audiences.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = field(default=None, repr=False)
    private: Callable[[], Iterable[str]] = field(default=tuple, repr=False, compare=False)
    audience_name: str = field(default="", repr=False, compare=False)
    quota: Quota | None = field(default=None, repr=False, compare=False)
    ids: int = field(default=0, repr=False, compare=False)
    shareable: bool = field(default=False, repr=False, compare=False)
    redirects: bool = field(default=False, repr=False, compare=False)
    remedies: Mapping[int, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def route(self) -> str:
        """Method and path. It may be logged, as the key is not in it."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Response:
    """
    Any answer of a server.

    :param headers: with names in lower case; the address in a redirect is as good as a key.
    :param body: cut at the transport's limit.
    :param received_at: seconds since the epoch, for a ``Retry-After`` that is a date.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    received_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Sleep:
    """
    A wait.

    :param everyone: whether all other calls to the same app wait as well.
    :param retries: the error after which a call is attempted again; None for any other wait.
    """

    seconds: float
    everyone: bool = False
    retries: BatchError | None = field(default=None, compare=False)
