"""The command ``python -m airflow_provider_batch.sandbox``."""

from __future__ import annotations

import argparse
import math
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from airflow_provider_batch.sandbox.api import CEP_DEFAULT_VERSION
from airflow_provider_batch.sandbox.names import ALL_TYPES, parse_audience
from airflow_provider_batch.sandbox.routes import CEP_VERSION
from airflow_provider_batch.sandbox.server import HOST, Sandbox

DEFAULTS = {"audiences": ("vip",), "apps": ("sandbox-app-key",), "projects": ("project_sandbox",)}
ANY_VERSION = "any"

V = TypeVar("V")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a sandbox until the process is interrupted or terminated."""
    parser = _parser()
    settings = vars(parser.parse_args(arguments))
    for name, default in DEFAULTS.items():
        settings[name] = tuple(dict.fromkeys(settings[name] or default))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        sandbox = Sandbox(**settings)
    except ValueError as exc:  # each option is valid, but not with the others
        parser.error(str(exc))
    try:
        sandbox.start()
    except ImportError as exc:
        sys.exit(str(exc))
    except OSError as exc:
        sys.exit(f"cannot listen on {HOST}:{sandbox.port}: {os.strerror(exc.errno or 0)}. Choose another with --port.")
    try:
        print(_greeting(sandbox, *(settings[name] for name in DEFAULTS)), flush=True)
        threading.Event().wait()
    finally:
        sandbox.stop()


def _greeting(sandbox: Sandbox, audiences: Sequence[str], apps: Sequence[str], projects: Sequence[str]) -> str:
    """Return the page's address, the audiences, and a connection to export for each app and project."""
    lines = [f"Batch sandbox: {sandbox.url}/", f"Audiences: {', '.join(audiences)}"]
    names = [f"BATCH_{number}" if number > 1 else "BATCH_DEFAULT" for number in range(1, len(apps) + 1)]
    names += [f"BATCH_CEP_{number}" if number > 1 else "BATCH_CEP" for number in range(1, len(projects) + 1)]
    for name, key in zip(names, (*apps, *projects), strict=True):
        lines.append(f"export AIRFLOW_CONN_{name}={shlex.quote(sandbox.connection_json(key))}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_batch.sandbox",
        description="A local stand-in for Batch's audience APIs 1.0, 1.1 and 2.x. It listens on 127.0.0.1 only.",
        epilog="You can repeat --audience, --app and --project.",
    )
    port = _checked(int, lambda number: 0 <= number <= 65535, "a port from 0 to 65535")
    seconds = _checked(float, lambda number: 0 <= number < math.inf, "a number of seconds, 0 or more")
    share = _checked(float, lambda number: 0 <= number <= 1, "a number from 0 to 1")
    rate = _checked(float, lambda number: 0 < number < math.inf, "a number above 0")
    key = _checked(str, re.compile(r"[A-Za-z0-9_-]+").fullmatch, "a key of letters, digits, _ and -")
    audience = _checked(str, parse_audience, f"a name, or a name and a type such as vip:{'|'.join(sorted(ALL_TYPES))}")
    version = _checked(str, CEP_VERSION.fullmatch, f"a version such as {CEP_DEFAULT_VERSION}, or {ANY_VERSION}")
    add = parser.add_argument
    repeatable = partial(add, action="append")
    add("--port", type=port, default=8000, help="port to listen on; 0 for any free one (default: %(default)s)")
    add("--latency", type=seconds, default=0.0, metavar="SECONDS", help="added to each response")
    add("--indexing-delay", type=seconds, default=0.0, metavar="SECONDS", help="how long a write stays IN_PROGRESS")
    add("--fault-rate", type=share, default=0.0, metavar="0..1", help="share of calls that get a random fault")
    add("--seed", type=int, metavar="N", help="the same seed draws the same faults")
    repeatable(
        "--audience",
        dest="audiences",
        type=audience,
        metavar="NAME[:TYPE]",
        help="exists from the start (default: vip); custom_ids in all apps and projects, other types in all apps",
    )
    repeatable("--app", dest="apps", type=key, metavar="KEY", help="of an app (default: sandbox-app-key)")
    repeatable("--project", dest="projects", type=key, metavar="KEY", help="of a project (default: project_sandbox)")
    add(
        "--api-version",
        type=lambda text: None if text == ANY_VERSION else version(text),
        default=CEP_DEFAULT_VERSION,
        metavar="2.N",
        help=f"the one 2.x version that exists, or {ANY_VERSION} (default: %(default)s)",
    )
    add("--requests-per-second", type=rate, metavar="N", help="limit for each app and project (default: no limit)")
    add("--rate-limit-wait", type=seconds, default=0.0, metavar="SECONDS", help="how long a 429 is followed by others")
    return parser


def _checked(convert: Callable[[str], V], allowed: Callable[[V], object], wanted: str) -> Callable[[str], V]:
    """Return an argparse type that rejects a value if *convert* raises ValueError or *allowed* is false."""

    def read(text: str) -> V:
        with suppress(ValueError):
            if allowed(value := convert(text)):
                return value
        raise argparse.ArgumentTypeError(f"must be {wanted}")

    return read


if __name__ == "__main__":
    main()
