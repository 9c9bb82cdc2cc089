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

from .server import HOST, Sandbox
from .state import AUDIENCE_NAME

DEFAULT_AUDIENCES = ("vip",)
DEFAULT_APPS = ("sandbox-app-key",)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    audiences = tuple(dict.fromkeys(options.audience or DEFAULT_AUDIENCES))
    apps = tuple(dict.fromkeys(options.app or DEFAULT_APPS))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    sandbox = Sandbox(
        audiences,
        port=options.port,
        apps=apps,
        latency=options.latency,
        indexing_delay=options.indexing_delay,
        fault_rate=options.fault_rate,
        seed=options.seed,
    )
    try:
        sandbox.start()
    except ImportError as exc:
        sys.exit(str(exc))
    except OSError as exc:
        sys.exit(f"can't listen on {HOST}:{options.port}: {exc.strerror}")
    try:
        print(_greeting(sandbox, audiences, apps), flush=True)
        threading.Event().wait()
    finally:
        sandbox.stop()


def _leave(*_: object) -> NoReturn:
    raise SystemExit(0)


def _greeting(sandbox: Sandbox, audiences: Sequence[str], apps: Sequence[str]) -> str:
    """The page and, for each app, a line for the shell; the first app is the provider's default connection."""
    lines = [f"Batch sandbox: {sandbox.url}/", f"Audiences: {', '.join(audiences)}"]
    for number, app in enumerate(apps, start=1):
        connection = "DEFAULT" if number == 1 else number
        lines.append(f"export AIRFLOW_CONN_BATCH_{connection}={shlex.quote(sandbox.connection_json(app))}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_batch.sandbox",
        description="A local stand-in for Batch's custom audience API 1.0. Listens on 127.0.0.1 only.",
    )
    add = parser.add_argument
    add("--port", type=_port, default=8000, help="0 takes any free port (default: %(default)s)")
    add("--latency", type=_seconds, default=0.0, metavar="SECONDS", help="added to each answer")
    add("--indexing-delay", type=_seconds, default=0.0, metavar="SECONDS", help="a write is IN_PROGRESS for so long")
    add("--fault-rate", type=_rate, default=0.0, metavar="0..1", help="share of calls that get a random fault")
    add("--seed", type=int, metavar="N", help="draw the same faults again")
    add("--audience", type=_audience, action="append", metavar="NAME", help="exists from the start (default: vip)")
    add("--app", type=_app, action="append", metavar="API_KEY", help=f"an app's key (default: {DEFAULT_APPS[0]})")
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


def _audience(text: str) -> str:
    if not AUDIENCE_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError("a name has 1 to 255 letters, digits, _ and -")
    return text


def _app(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise argparse.ArgumentTypeError("a key has letters, digits, _ and - only")
    return text


if __name__ == "__main__":
    main()
