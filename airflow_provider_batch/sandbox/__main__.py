from __future__ import annotations

import argparse
import math
import re
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from .api import CEP_DEFAULT_VERSION
from .names import audience_of
from .routes import CEP_VERSION
from .server import HOST, Sandbox

DEFAULT_AUDIENCES = ("vip",)
DEFAULT_APPS = ("sandbox-app-key",)
DEFAULT_PROJECTS = ("project_sandbox",)
ANY_VERSION = "any"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = _parser()
    options = parser.parse_args(arguments)
    audiences = tuple(dict.fromkeys(options.audience or DEFAULT_AUDIENCES))
    apps = tuple(dict.fromkeys(options.app or DEFAULT_APPS))
    projects = tuple(dict.fromkeys(options.project or DEFAULT_PROJECTS))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    try:
        sandbox = Sandbox(
            audiences,
            port=options.port,
            apps=apps,
            projects=projects,
            api_version=None if options.api_version == ANY_VERSION else options.api_version,
            requests_per_second=options.cep_requests_per_second,
            latency=options.latency,
            indexing_delay=options.indexing_delay,
            fault_rate=options.fault_rate,
            seed=options.seed,
        )
    except ValueError as exc:  # of options that are right one by one
        parser.error(str(exc))
    try:
        sandbox.start()
    except ImportError as exc:
        sys.exit(str(exc))
    except OSError as exc:
        sys.exit(f"can't listen on {HOST}:{options.port}: {exc.strerror}")
    try:
        print(_greeting(sandbox, audiences, apps, projects), flush=True)
        threading.Event().wait()
    finally:
        sandbox.stop()


def _leave(*_: object) -> NoReturn:
    raise SystemExit(0)


def _greeting(sandbox: Sandbox, audiences: Sequence[str], apps: Sequence[str], projects: Sequence[str]) -> str:
    """The page and, for each app and project, a line for the shell; the first app is the default connection."""
    lines = [f"Batch sandbox: {sandbox.url}/", f"Audiences: {', '.join(audiences)}"]
    names = [f"BATCH_{number}" if number > 1 else "BATCH_DEFAULT" for number in range(1, len(apps) + 1)]
    names += [f"BATCH_CEP_{number}" if number > 1 else "BATCH_CEP" for number in range(1, len(projects) + 1)]
    for name, key in zip(names, (*apps, *projects), strict=True):
        lines.append(f"export AIRFLOW_CONN_{name}={shlex.quote(sandbox.connection_json(key))}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_batch.sandbox",
        description="A local stand-in for Batch's audience APIs 1.0, 1.1 and 2.x. Listens on 127.0.0.1 only.",
    )
    add = parser.add_argument
    add("--port", type=_port, default=8000, help="0 takes any free port (default: %(default)s)")
    add("--latency", type=_seconds, default=0.0, metavar="SECONDS", help="added to each answer")
    add("--indexing-delay", type=_seconds, default=0.0, metavar="SECONDS", help="a write is IN_PROGRESS for so long")
    add("--fault-rate", type=_rate, default=0.0, metavar="0..1", help="share of calls that get a random fault")
    add("--seed", type=int, metavar="N", help="draw the same faults again")
    add(
        "--audience",
        type=_audience,
        action="append",
        metavar="NAME[:TYPE]",
        help="exists from the start (default: vip); custom_ids in apps and projects, other types in apps",
    )
    add("--app", type=_key, action="append", metavar="API_KEY", help=f"an app's key (default: {DEFAULT_APPS[0]})")
    add("--project", type=_key, action="append", metavar="KEY", help=f"a project (default: {DEFAULT_PROJECTS[0]})")
    add(
        "--api-version",
        type=_version,
        default=CEP_DEFAULT_VERSION,
        metavar="2.N",
        help=f"the only 2.x that exists, or {ANY_VERSION} (default: %(default)s)",
    )
    add(
        "--cep-requests-per-second",
        type=_requests_per_second,
        metavar="N",
        help="more for one project are answered 429 (default: no limit)",
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is between 0 and 65535")
    return port


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError("seconds can't be negative or endless")
    return seconds


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 <= rate <= 1:
        raise argparse.ArgumentTypeError("a rate is between 0 and 1")
    return rate


def _requests_per_second(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError("a number above 0")
    return number


def _audience(text: str) -> str:
    try:
        name, audience_type = audience_of(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None
    return name if audience_type == "custom_ids" else f"{name}:{audience_type}"


def _version(text: str) -> str:
    if text != ANY_VERSION and not CEP_VERSION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"a version is one like {CEP_DEFAULT_VERSION}, or {ANY_VERSION}")
    return text


def _key(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise argparse.ArgumentTypeError("a key has letters, digits, _ and - only")
    return text


if __name__ == "__main__":
    main()
