"""Where to send and who sends: nobody else joins host, key and path, and nothing here is ever printed."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from airflow_provider_batch.exceptions import BatchConfigurationError
from airflow_provider_batch.protocol.dialect import MEP, Platform
from airflow_provider_batch.protocol.limits import PROJECT_KEY_PREFIX
from airflow_provider_batch.protocol.wire import Request


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    Base URL and keys of one app or project.

    :param base_url: scheme and host, with an optional port and path; http only to a loopback address.
    :param api_key: the app's Batch API key (Live, Dev or SDK), which travels in the path, or the project's key, which
        travels in a header.
    :param rest_api_key: the company's REST API key; travels in a header.
    :param platform: says in which headers.
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
                "the connection's login looks like a project's key, but its platform is mep; "
                'set {"platform": "cep"} in its extra'
            )
        _check_base_url(self.base_url)

    def url(self, request: Request) -> str:
        """Return the address of *request*; it holds the app's key and must not be logged."""
        return self.base_url.rstrip("/") + request.path.replace("{api_key}", quote(self.api_key, safe=""))

    @property
    def headers(self) -> dict[str, str]:
        """What identifies the caller, on every request."""
        keys = {"{rest_api_key}": self.rest_api_key, "{api_key}": self.api_key}
        return {
            **{name: re.sub(r"{\w+}", lambda key: keys[key[0]], value) for name, value in self.platform.identity},
            "Content-Type": "application/json",
            "Accept": "application/json",
            # The answers are a few bytes; packed ones could unpack to anything.
            "Accept-Encoding": "identity",
            "User-Agent": self.user_agent,
        }

    @property
    def encrypted(self) -> bool:
        """Whether the keys travel encrypted; if not, they do not leave this machine."""
        return self.base_url.lower().startswith("https:")

    @property
    def digest(self) -> str:
        """What tells one app or project from another, without a way back to its key."""
        return hashlib.sha256(json.dumps([self.base_url, self.api_key]).encode()).hexdigest()

    def blot_out(self, body: bytes) -> bytes:
        """Return an error's *body* without the keys, which a server or a proxy may quote in any spelling of JSON's."""
        keys = (self.rest_api_key, self.api_key, quote(self.api_key, safe=""))
        for spelling in {
            spelling for key in keys for spelling in (key, json.dumps(key)[1:-1], key.replace("/", r"\/"))
        }:
            pattern = re.escape(spelling.encode())
            # A key of a few letters, as only a test has, would take the names of the body's fields with it.
            body = re.sub(pattern if len(spelling) > 4 else rb"\b" + pattern + rb"\b", b"***", body)
        return body


def _check_key(key: str, name: str) -> None:
    if not key:
        raise BatchConfigurationError(f"the connection has no {name}; see Settings > General in Batch's dashboard")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise BatchConfigurationError(
            f"the connection's {name} has blanks, line breaks or letters that no key has; copy it again"
        )


def _check_base_url(base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or parts.scheme not in ("http", "https") or not base_url.isprintable() or " " in base_url:
        raise BatchConfigurationError(
            "the connection's host is no address; leave it empty or use https://api.batch.com"
        )
    if parts.username is not None or "?" in base_url or "#" in base_url:
        raise BatchConfigurationError("the connection's host must be an address alone, without user, query or fragment")
    if parts.scheme == "http" and not _is_loopback(host):
        raise BatchConfigurationError(
            f"the connection's host would send the keys to {host} unencrypted; use https (http is for loopback only)"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
