"""Why a call had no answer, in the same words for both HTTP libraries, and without their texts, which quote the URL."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from http.client import responses
from typing import Final

from airflow_provider_batch.exceptions import BatchConnectionError

#: How requests and httpx report a proxy that refuses CONNECT.
_REFUSED_BY_PROXY: Final = re.compile(r"(?:^|Tunnel connection failed: )([1-5]\d\d)\b")

_REMEDIES: Final = {
    403: " The proxy must allow CONNECT to Batch's host.",
    407: " Check user and password in HTTPS_PROXY.",
}


def no_answer(route: str, error: BaseException) -> BatchConnectionError:
    """
    Return the error for a call that had no answer.

    Not to be chained to *error*: that holds the request, whose URL holds the app's key. If the proxy or the certificate
    is refused, another attempt would end the same way, so the error is not retryable.
    """
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _error(
                f"{route}: no answer: certificate verify failed: {cause.verify_message.rstrip('.')}. If a proxy or "
                "firewall opens TLS, set REQUESTS_CA_BUNDLE to a file with your company's certificate authority.",
                retryable=False,
            )
        if status := _proxy_status(cause):
            answered = f"{status} {responses.get(status, '')}".rstrip()
            return _error(
                f"{route}: no answer: the proxy answered {answered}.{_REMEDIES.get(status, '')}",
                retryable=not 400 <= status < 500 or status in (408, 425, 429),
            )
    last = chain[-1]
    reason = last.strerror if isinstance(last, OSError) and last.errno is not None else None
    names = " < ".join(type(cause).__name__ for cause in chain)
    return BatchConnectionError(f"{route}: no answer: {names}" + (f" ({reason})" if reason else ""))


def _error(message: str, *, retryable: bool) -> BatchConnectionError:
    error = BatchConnectionError(message)
    error.retryable = retryable
    return error


def _proxy_status(cause: BaseException) -> int | None:
    if type(cause) is OSError or type(cause).__name__ == "ProxyError":
        found = _REFUSED_BY_PROXY.search(str(cause))
        return int(found[1]) if found else None
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(6):
        if error is None:
            return
        yield error
        if isinstance(error, TimeoutError):  # how far the call had come when its time was over explains nothing
            return
        candidates = (getattr(error, "reason", None), *error.args, error.__cause__, error.__context__)
        error = next((candidate for candidate in candidates if isinstance(candidate, BaseException)), None)
