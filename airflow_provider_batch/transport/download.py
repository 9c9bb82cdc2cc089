"""
The download of a file from the address that Batch redirects to: a host that is not Batch's.

What is kept true: neither a key nor a header of ours leaves for it, and nobody logs the address, which opens the file
for everyone who has it. It comes from an answer, so it is not trusted: only https, and no address inside the company's
network, where a worker can reach what an outsider cannot. That is checked right before the connection is opened, of the
very address that it leads to: a name may resolve to another one by then. There are two exceptions. Where Batch itself
is on the loopback, as a sandbox is, its files may be there too; and they may be on the host that the connection names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import BinaryIO, Final
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError

from airflow_provider_batch.exceptions import (
    BatchConnectionError,
    BatchError,
    BatchProtocolError,
    ExportError,
    PushStoppedError,
    ResultError,
)
from airflow_provider_batch.protocol.limits import MAX_EXPORT_FILE_SIZE
from airflow_provider_batch.transport import environment, private_logs
from airflow_provider_batch.transport.blocking import bare_session
from airflow_provider_batch.transport.credentials import is_loopback
from airflow_provider_batch.transport.deadline import Call
from airflow_provider_batch.transport.no_answer import no_answer

#: Bytes that are held at once, and the most seconds of one download: an address lives as long.
_PIECE: Final = 1 << 16
_LONGEST: Final = 20 * 60.0

#: Where a network translates to the older addresses (NAT64): https://www.rfc-editor.org/rfc/rfc6052
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")

#: The most bytes of a file whose size Batch does not report.
_LARGEST: Final = 10 * MAX_EXPORT_FILE_SIZE

#: The bytes that gzip adds to a file that it cannot make smaller, with room for a name.
_GZIP_FRAME: Final = 1 << 10

#: What stands for the address in errors.
_ROUTE: Final = "GET the file of the export"


class Downloader:
    """
    Downloads files, one at a time.

    :param base_url: what Batch redirects from: addresses may be relative to it, and files as local as it is.
    :param timeout: seconds to wait for a connection, and for each part of an answer.
    :param stopped: ends a download once it is set.
    """

    def __init__(self, base_url: str, *, timeout: float, stopped: threading.Event) -> None:
        self._base_url = base_url
        self._base = urlsplit(base_url)
        self._is_local = is_loopback(self._base.hostname or "")
        self._timeout = timeout
        self._stopped = stopped

    def save(self, address: str, into: BinaryIO, size: int | None) -> int:
        """
        Write the file at *address* into another, and return how many bytes that were.

        :param size: how many bytes Batch announced, of the file or of what it holds; a longer answer is not read to its
            end. Whether it is the right size is checked by the caller, who can unpack the file.
        :raises BatchProtocolError: if the address must not be used; not retryable.
        :raises BatchConnectionError: if there is no answer, or if it ends early.
        :raises ExportError: if the answer is an error: the address has expired, for example. Retryable.
        """
        url = self._checked(address)
        with private_logs.silenced(), self._opened(url) as answer:
            if answer.status_code != 200:
                raise _refused(answer.status_code)
            return self._copy(answer, into, size)

    def _checked(self, address: str) -> str:
        try:
            url = urljoin(self._base_url, address)
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host, parts = None, urlsplit("")
        if not host or parts.scheme not in ("http", "https") or parts.username is not None or not url.isprintable():
            raise _unsafe("it is not a web address without credentials")
        if parts.scheme == "http" and not (self._is_local and is_loopback(host)):
            raise _unsafe("it is not encrypted (https)")
        if not self._is_allowed(host) and parts[:2] != self._base[:2]:
            raise _unsafe("it is inside this network")
        return url

    def _is_allowed(self, host: str) -> bool:
        """Whether *host*, a name or an address, is outside this network, or as local as Batch itself."""
        return self._is_local if is_loopback(host) else _is_public(host)

    @contextmanager
    def _opened(self, url: str) -> Iterator[requests.Response]:
        # A proxy resolves names itself; and Batch's own host has the keys already.
        is_checked = environment.proxy_to(url, socks_package="socks") is None and urlsplit(url)[:2] != self._base[:2]
        with bare_session(url, timeout=self._timeout) as session:
            session.headers.clear()
            call = _Transfer(self._is_allowed if is_checked else None)
            try:
                with call, session.get(url, stream=True) as answer:
                    yield answer
                if call.ended:  # an end may look like that of the file
                    raise TimeoutError
            except BatchConnectionError as error:
                failure = no_answer(_ROUTE, TimeoutError()) if call.ended else error
            except BatchError:
                raise
            except (requests.RequestException, HTTPError, OSError) as error:
                failure = no_answer(_ROUTE, TimeoutError() if call.ended else error)
            else:
                return
        raise failure from None  # what failed in the caller's block may quote the address

    def _copy(self, answer: requests.Response, into: BinaryIO, size: int | None) -> int:
        most = _LARGEST if size is None else size + _GZIP_FRAME
        announced = answer.headers.get("Content-Length", "")
        answer.raw.enforce_content_length = False  # checked below, as not every version of urllib3 does
        received = 0
        while piece := answer.raw.read(_PIECE, decode_content=False):
            if self._stopped.is_set():
                raise PushStoppedError("stopped during a download")
            received += len(piece)
            if received > most:
                raise wrong_size(f"more than {most:,}", most if size is None else size)
            _write(piece, into)
        if announced.isdigit() and int(announced) != received:
            raise BatchConnectionError(f"{_ROUTE}: the answer ends after {received:,} of {int(announced):,} bytes")
        return received


def _write(piece: bytes, into: BinaryIO) -> None:
    try:
        into.write(piece)
    except OSError as error:
        raise ResultError(
            f"the temporary file cannot be written: {error.strerror}. Free space, or set TMPDIR to a larger disk."
        ) from error


class _Transfer(Call):
    """
    A call whose connection must not lead into this network.

    :param is_allowed: whether it may lead to an address; None if it may lead anywhere.
    """

    def __init__(self, is_allowed: Callable[[str], bool] | None) -> None:
        super().__init__(_LONGEST)
        self._is_allowed = is_allowed

    def check(self, address: str) -> None:
        """Check where the connection is going to lead."""
        if self._is_allowed is not None and not self._is_allowed(address):
            raise _unsafe("it leads into this network")


def _is_public(host: str) -> bool:
    """Whether *host* is an address of the internet, or a name, which is checked once it is connected."""
    try:
        address = ip_address(host)
    except ValueError:
        return True
    return bool((_wrapped(address) or address).is_global)


def _wrapped(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    """Return the older address that one of version 6 leads to."""
    if isinstance(address, IPv4Address):
        return None
    translated = IPv4Address(int(address) & 0xFFFFFFFF) if address in _TRANSLATED else None
    return address.ipv4_mapped or address.sixtofour or translated


def _unsafe(reason: str) -> BatchProtocolError:
    error = BatchProtocolError(
        f"the address of the export's file is not used: {reason}. Check the connection's host, and any proxy."
    )
    error.retryable = False
    return error


def _refused(status: int) -> ExportError:
    return ExportError(f"{_ROUTE}: answered {status}. Its address may have expired.")


def wrong_size(received: str, announced: int) -> ExportError:
    """Return the error for a file of another size than Batch reports."""
    return ExportError(f"{_ROUTE}: it has {received} bytes, but Batch reports {announced:,}.")
