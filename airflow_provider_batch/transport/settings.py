"""An Airflow connection of type ``batch`` -> checked settings. Airflow itself is not imported."""

from __future__ import annotations

import difflib
import json
import math
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from airflow_provider_batch import __version__
from airflow_provider_batch.exceptions import BatchConfigurationError
from airflow_provider_batch.protocol.dialect import MEP, Dialect, Platform, ProfileRoute, cep
from airflow_provider_batch.protocol.limits import CEP_VERSION, NEWEST_CEP_VERSION
from airflow_provider_batch.protocol.retry import Backoff, Patience, Polling, Spacing
from airflow_provider_batch.transport import MAX_CONNECTIONS
from airflow_provider_batch.transport.credentials import Credentials
from airflow_provider_batch.transport.pace import Pace, shared_pace

#: https://doc.batch.com/developer/api/mep/custom-audience/1.0/update
PUBLIC_BASE_URL: Final = "https://api.batch.com"

#: Batch's dashboard, where users see their audiences.
PUBLIC_DASHBOARD_URL: Final = "https://dashboard.batch.com"

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


class AirflowConnection(Protocol):
    """The fields that are read of an Airflow connection."""

    host: str | None
    port: int | None
    schema: str | None
    login: str | None

    @property
    def password(self) -> str | None: ...

    @property
    def extra(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """
    The settings of one connection.

    :param timeout: the most seconds that one attempt of a call may take in all.
    :param max_attempts: the most attempts of one call.
    :param max_concurrency: the most calls of one push in flight. Four hide most of the latency of calls of 10,000 ids,
        and are a modest load for a service that documents no limits.
    :param requests_per_second: the most requests in any second; None for no limit.
    :param dashboard_url: the target of a task's link. It is stored and shown in clear.
    """

    credentials: Credentials
    timeout: float = 60.0
    max_attempts: int = 5
    max_concurrency: int = 4
    requests_per_second: float | None = None
    dashboard_url: str = PUBLIC_DASHBOARD_URL

    def dialect(self, audience_type: object) -> Dialect:
        """
        Return the version of the API for audiences of this type.

        :raises InvalidArgumentError: if the connection's platform has none.
        """
        return self.credentials.platform.dialect(audience_type)

    def profile_route(self, name: str) -> ProfileRoute:
        """
        Return the route that writes profiles, by its name.

        :raises BatchConfigurationError: if the connection's platform has no profiles.
        """
        routes = self.credentials.platform.profile_routes
        if not routes:
            raise BatchConfigurationError(
                "profiles are on the Customer Engagement Platform only, and the connection is to the Mobile Engagement "
                'Platform. Use a connection to a project, with {"platform": "cep"} in its extra.'
            )
        return next(route for route in routes if route.name == name)

    @property
    def known_types(self) -> frozenset[str]:
        """The types of audiences that the platform's versions accept. Its answers may name others."""
        return frozenset(name for dialect in self.credentials.platform.dialects for name in dialect.audience_types)

    @property
    def backoff(self) -> Backoff:
        """The waits between the attempts of one call."""
        return Backoff(_full_jitter, attempts=self.max_attempts)

    @property
    def pace(self) -> Pace:
        """The pace that this process shares for the same app."""
        return shared_pace(self.credentials.digest, self.requests_per_second)

    def polling(self, patience: Patience, clock: Callable[[], float], *, started: float | None = None) -> Polling:
        """
        Return how a state is polled: until a deadline, not for a number of attempts.

        :param started: when the wait began on *clock*; now by default.
        """
        return Polling(
            delay=Backoff(_full_jitter, attempts=sys.maxsize, longest=patience.poke_interval, total=math.inf),
            spacing=Spacing(_full_jitter, patience.poke_interval),
            deadline=(clock() if started is None else started) + patience.timeout,
            now=clock,
        )


def read_settings(connection: AirflowConnection, extra: object) -> Settings:
    """
    Read the settings out of *connection* and its *extra*.

    :param extra: as Airflow has parsed it: empty if it could not. With the defaults, a push might go to the wrong app.
    :raises BatchConfigurationError: for a missing key, an invalid address, an unknown or invalid extra field.
    """
    if not isinstance(extra, Mapping):
        raise BatchConfigurationError('the connection\'s extra must be a JSON object such as {"timeout": 30}')
    if not extra and connection.extra:
        _check_json(connection.extra)
    given = enumerate(extra.items(), 1)
    settings = dict(_setting(place, name, value) for place, (name, value) in given if value not in (None, ""))
    credentials = Credentials(
        base_url=_base_url(connection),
        api_key=connection.login or "",
        rest_api_key=connection.password or "",
        user_agent=_user_agent(),
        platform=_platform(settings.pop("platform", "mep"), settings.pop("api_version", None)),
    )
    address = unquote(settings.get("dashboard_url", ""))
    if any(key in address for key in (credentials.api_key, credentials.rest_api_key)):
        raise BatchConfigurationError(
            "the connection's extra field 'dashboard_url' is shown, but contains a key. Remove the key."
        )
    return Settings(credentials, **settings)


def _platform(name: str, api_version: str | None) -> Platform:
    if name == "cep":
        return cep(api_version or NEWEST_CEP_VERSION)
    if api_version is not None:
        raise BatchConfigurationError(
            "the connection's extra field 'api_version' is for the platform cep only. Remove it: on mep the audience's "
            "type selects the version, 1.1 for install_ids and 1.0 for the others."
        )
    return MEP


def _full_jitter(most: float) -> float:
    """Draw a wait, so that tasks that failed together do not come back together."""
    return random.uniform(0, most)  # noqa: S311 - not for security


def _base_url(connection: AirflowConnection) -> str:
    host = (connection.host or "").strip().rstrip("/")
    if not host:
        return _with_port(PUBLIC_BASE_URL, connection.port)
    if "://" not in host:
        scheme = connection.schema if connection.schema in ("http", "https") else "https"
        # An IPv6 address has colons of its own.
        host = f"{scheme}://[{host}]" if host.count(":") > 1 and not host.startswith("[") else f"{scheme}://{host}"
    return _with_port(host, connection.port)


def _with_port(address: str, port: int | None) -> str:
    """Add *port* to *address*, unless it has that port already."""
    scheme, _, rest = address.partition("://")
    authority, slash, path = rest.partition("/")
    if not port or port == _DEFAULT_PORTS.get(scheme) or authority.endswith(f":{port}"):
        return address
    return f"{scheme}://{authority}:{port}{slash}{path}"


def _check_json(extra: str) -> None:
    try:
        json.loads(extra)
    except ValueError as error:
        place = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise BatchConfigurationError(
            f'the connection\'s extra is not valid JSON{place}. Correct it: {{"timeout": 30}}, for example, is valid.'
        ) from None  # json's error holds the text


def _setting(place: int, name: str, value: object) -> tuple[str, Any]:
    # Forms of early Airflow versions put this before the name.
    name = name.removeprefix("extra__batch__")
    if name not in _SETTINGS:
        # A name that resembles none is not quoted: it may be a key that was pasted into the wrong place.
        near = difflib.get_close_matches(name, _SETTINGS, cutoff=0.8)
        hint = f"{name!r}. Did you mean {near[0]!r}?" if near else f"(number {place}). Use {', '.join(_SETTINGS)}."
        raise BatchConfigurationError(f"the connection's extra has an unknown field {hint}")
    return name, _SETTINGS[name](name, value)


def _amount(most: int) -> Callable[[str, object], float]:
    def read(name: str, value: object) -> float:
        number = _number(value)
        if not 0.001 <= number <= most:
            raise BatchConfigurationError(
                f"the connection's extra field {name!r} must be a number from 0.001 to {most:,}"
            )
        return number

    return read


def _count(most: int) -> Callable[[str, object], int]:
    def read(name: str, value: object) -> int:
        number = _number(value)
        if not (number.is_integer() and 1 <= number <= most):
            raise BatchConfigurationError(f"the connection's extra field {name!r} must be an integer from 1 to {most}")
        return int(number)

    return read


def _number(value: object) -> float:
    """Return a number, which a form or an environment variable may give as text; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _known_platform(name: str, value: object) -> str:
    if value not in ("mep", "cep"):
        raise BatchConfigurationError(
            f"the connection's extra field {name!r} must be mep (Mobile Engagement Platform) or cep (Customer "
            "Engagement Platform)"
        )
    return str(value)


def _cep_version(name: str, value: object) -> str:
    if not isinstance(value, str) or not CEP_VERSION.fullmatch(value):  # as a float, 2.10 would be 2.1
        raise BatchConfigurationError(
            f"the connection's extra field {name!r} must be a version of the audience API in quotes, such as "
            f'"{NEWEST_CEP_VERSION}"'
        )
    return value


def _web_address(name: str, value: object) -> str:
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    address = parts.geturl()
    if not host or parts.scheme not in ("http", "https") or not address.isprintable() or " " in address:
        raise BatchConfigurationError(
            f"the connection's extra field {name!r} must be an address such as {PUBLIC_DASHBOARD_URL}"
        )
    if "@" in parts.netloc:
        raise BatchConfigurationError(
            f"the connection's extra field {name!r} is shown, but contains credentials. Remove them."
        )
    return address


_SETTINGS: Final[dict[str, Callable[[str, object], Any]]] = {
    "platform": _known_platform,
    "api_version": _cep_version,
    "timeout": _amount(86_400),
    "max_attempts": _count(100),
    "max_concurrency": _count(MAX_CONNECTIONS),
    "requests_per_second": _amount(1_000_000),
    "dashboard_url": _web_address,
}


@lru_cache(maxsize=1)
def _user_agent() -> str:
    # Cached, as looking the version up parses Airflow's metadata, and each wait in a triggerer needs it.
    try:
        return f"airflow-provider-batch/{__version__} apache-airflow/{version('apache-airflow')}"
    except PackageNotFoundError:  # a worker may have only the task SDK of Airflow
        return f"airflow-provider-batch/{__version__}"
