"""
Host and keys of one app or project, and the only place that joins them with a path.

On MEP the app's key is a part of the URL, so a URL is as secret as a password. What is kept true: a key is in the URL
and headers that this module returns and nowhere else, and neither is logged, stored or put into an error. Everything
else names a request by its route. Servers and proxies may quote a request, so the body of an error is redacted here,
before anything else reads it. Keys leave the machine encrypted only: plain http is for loopback addresses.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import quote, urlencode, urlsplit

from airflow_provider_batch.exceptions import BatchConfigurationError
from airflow_provider_batch.protocol.dialect import MEP, Platform
from airflow_provider_batch.protocol.limits import PROJECT_KEY_PREFIX
from airflow_provider_batch.protocol.wire import Request


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    Base URL and keys of one app or project.

    :param base_url: scheme and host, with an optional port and path; http to a loopback address only.
    :param api_key: the app's Batch API key (Live, Dev or SDK), sent in the path; or the project's, sent in a header.
    :param rest_api_key: the company's REST API key, sent in a header.
    :param platform: defines these headers.
    :raises BatchConfigurationError: if one of them cannot be used.
    """

    base_url: str
    api_key: str = field(repr=False)
    rest_api_key: str = field(repr=False)
    user_agent: str = "airflow-provider-batch"
    platform: Platform = field(default=MEP, repr=False)

    def __post_init__(self) -> None:
        _check_key(self.api_key, f"{self.platform.login} (login)")
        _check_key(self.rest_api_key, "REST API key (password)")
        if self.platform is MEP and self.api_key.startswith(PROJECT_KEY_PREFIX):
            raise BatchConfigurationError(
                "the connection's login looks like a project's key, but its platform is mep. "
                'Set {"platform": "cep"} in its extra.'
            )
        _check_base_url(self.base_url)

    def url(self, request: Request) -> str:
        """Return the URL of *request*; on MEP it holds the app's key and must not be logged."""
        return self.base_url.rstrip("/") + self._path(request)

    def target(self, request: Request) -> str:
        """Return path and query of the URL of *request*; as secret as that."""
        path = urlsplit(self.base_url).path.rstrip("/") + self._path(request)
        return f"{path}?{urlencode(request.query)}" if request.query else path

    def _path(self, request: Request) -> str:
        return request.path.replace("{api_key}", quote(self.api_key, safe=""))

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        keys = {"{rest_api_key}": self.rest_api_key, "{api_key}": self.api_key}
        return {
            **{name: re.sub(r"{\w+}", lambda key: keys[key[0]], value) for name, value in self.platform.identity},
            "Content-Type": "application/json",
            "Accept": "application/json",
            # Answers are a few bytes; a compressed one could expand to any size.
            "Accept-Encoding": "identity",
            "User-Agent": self.user_agent,
        }

    @property
    def encrypted(self) -> bool:
        """Whether the keys are sent encrypted; if not, they do not leave this machine."""
        return self.base_url.lower().startswith("https:")

    @property
    def digest(self) -> str:
        """Identifies the app or project, without a way back to its key."""
        return hashlib.sha256(json.dumps([self.base_url, self.api_key]).encode()).hexdigest()

    def redact(self, body: bytes) -> bytes:
        """Return an error's *body* without the keys, as they are or as a URL or JSON escapes them."""
        keys = (self.rest_api_key, self.api_key, quote(self.api_key, safe=""))
        for form in {form for key in keys for form in (key, json.dumps(key)[1:-1], key.replace("/", r"\/"))}:
            pattern = re.escape(form.encode())
            # A short key, which only a test has, is redacted as a whole word: the body's field names must stay.
            body = re.sub(pattern if len(form) > 4 else rb"\b" + pattern + rb"\b", b"***", body)
        return body


def _check_key(key: str, name: str) -> None:
    if not key:
        raise BatchConfigurationError(
            f"the connection has no {name}. Copy it from Settings > General in Batch's dashboard."
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise BatchConfigurationError(
            f"the connection's {name} has characters that no key has, such as blanks or line breaks. Copy it again."
        )


def _check_base_url(base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or parts.scheme not in ("http", "https") or not base_url.isprintable() or " " in base_url:
        raise BatchConfigurationError(
            "the connection's host is not a valid address. Leave it empty, or use https://api.batch.com."
        )
    if parts.username is not None or "?" in base_url or "#" in base_url:
        raise BatchConfigurationError("the connection's host must not have a user, query or fragment. Remove them.")
    if parts.scheme == "http" and not is_loopback(host):
        raise BatchConfigurationError(
            f"the connection's host would send the keys to {host} unencrypted. Use https; http is for loopback only."
        )


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
