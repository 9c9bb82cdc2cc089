"""
The way to Batch as the environment describes it: the proxy, and the certificate authorities to trust.

This is the only place that reads it. The libraries read different variables, and the same ones differently; a company's
network must be the same one for a worker (requests) and for a triggerer (httpx). What cannot work is refused here, by
the name of its variable and never with the value: a proxy's address may hold a password.
"""

from __future__ import annotations

import base64
import os
import re
import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import unquote, urlsplit

import certifi

from airflow_provider_batch.exceptions import BatchConfigurationError

#: The first that is set decides.
_AUTHORITIES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True, slots=True)
class Proxy:
    """
    A proxy, in the form that both libraries read alike.

    :param url: without user and password, except for SOCKS.
    :param headers: with user and password, except for SOCKS.
    """

    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)

    @property
    def encrypted(self) -> bool:
        """Whether the proxy itself is behind TLS."""
        return self.url.startswith("https:")


def proxy_to(base_url: str, *, socks_package: str) -> Proxy | None:
    """
    Return the proxy on the way to *base_url*, if there is one.

    :param socks_package: the package that the HTTP library needs for SOCKS.
    :raises BatchConfigurationError: if the proxy cannot be used.
    """
    address = urlsplit(base_url)
    # Over plain http, which is for this machine alone, a proxy would read the keys.
    if address.scheme == "http" or _is_exempt((address.hostname or "").rstrip("."), address.port or 443):
        return None
    for name in ("HTTPS_PROXY", "ALL_PROXY"):
        variable, value = _variable(name)
        if value:
            return _proxy(variable, value, socks_package)
    return None


def trusted(base_url: str) -> ssl.SSLContext:
    """
    Return the context that trusts the environment's certificate authorities, or certifi's.

    :param base_url: without https, the environment is not read.

    :raises BatchConfigurationError: if they cannot be read.
    """
    names = _AUTHORITIES if urlsplit(base_url).scheme == "https" else ()
    variable = next((name for name in names if os.environ.get(name)), "")
    return _context(variable, os.environ[variable] if variable else certifi.where())


@lru_cache(maxsize=1)
def _context(variable: str, path: str) -> ssl.SSLContext:
    # Once a process, as it blocks the event loop for some 20 ms. An error is not kept.
    folders = [folder for folder in path.split(os.pathsep) if os.path.isdir(folder)]
    try:
        for folder in folders:
            os.listdir(folder)  # OpenSSL would skip one that it must not read
        return ssl.create_default_context(cafile=None if folders else path, capath=path if folders else None)
    except OSError as error:
        reason = "it holds no certificate in PEM format" if isinstance(error, ssl.SSLError) else error.strerror
        raise BatchConfigurationError(
            f"the environment variable {variable} names the certificate authorities {path!r}, which cannot be read: "
            f"{reason}. Correct it, or unset it."
        ) from None


def _variable(name: str) -> tuple[str, str]:
    """Return name and value; in lower case it comes first, and if empty it switches the other off."""
    used = name.lower() if name.lower() in os.environ else name
    return used, os.environ.get(used, "").strip()


def _proxy(variable: str, value: str, socks_package: str) -> Proxy:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:
        parts, host, port = urlsplit(""), b"", None
    if parts.scheme and parts.scheme not in ("http", "https", "socks5", "socks5h"):
        raise _unusable(variable, "its scheme is unknown", "Use http://, https://, socks5:// or socks5h://.")
    if not host or port == 0 or re.search(r"[^!-~]", parts.netloc.rpartition("@")[2]):
        raise _unusable(
            variable,
            "it is not an address such as http://proxy.example.com:3128",
            "In user and password, percent-encode everything but letters and digits.",
        )
    if parts.scheme.startswith("socks"):
        if find_spec(socks_package) is None:
            install = {"socks": "PySocks", "socksio": "httpx[socks]"}[socks_package]
            raise _unusable(variable, "it is a SOCKS proxy, for which a package is missing", f"Install {install}.")
        return Proxy(value, {})
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(login).decode()}"
    return Proxy(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", headers)


def _unusable(variable: str, reason: str, remedy: str) -> BatchConfigurationError:
    return BatchConfigurationError(
        f"the proxy of the environment variable {variable} cannot be used: {reason}. {remedy}"
    )


def _is_exempt(host: str, port: int) -> bool:
    return any(_matches(entry, host.lower(), port) for entry in re.split(r"[,\s]+", _variable("NO_PROXY")[1].lower()))


def _matches(entry: str, host: str, port: int) -> bool:
    """Whether an entry of ``NO_PROXY`` covers the host: a domain, an address, a network or ``*``, and maybe a port."""
    if entry == "*":
        return True
    name = entry.rpartition("://")[2].rstrip("/")
    if with_port := re.fullmatch(r"(\[.+\]|[^:]+):(\d+)", name):
        name = with_port[1]
        if int(with_port[2]) != port:
            return False
    name = name.strip("[]")
    try:
        return ip_address(host) in ip_network(name, strict=False)
    except ValueError:
        domain = name.lstrip("*").strip(".")
        return bool(domain) and (host == domain or host.endswith(f".{domain}"))
