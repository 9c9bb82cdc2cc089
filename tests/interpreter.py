"""An interpreter that has imported Airflow, and forks for each command: the import takes longer than most commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

_PROGRAM = """
import gc, json, os, runpy, sys, traceback
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # Airflow prints while it is imported
import airflow.settings
from airflow.cli import cli_parser

def run(arguments, env, output):
    os.environ.clear()
    os.environ.update(env)
    for number in (1, 2):
        os.dup2(os.open(output[number - 1], os.O_WRONLY | os.O_CREAT), number)
    sys.argv = arguments
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return 1 if isinstance(end.code, str) else end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

cli_parser.get_parser()
gc.freeze()
for line in sys.stdin:
    if not (child := os.fork()):
        code = run(**json.loads(line))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(child, file=answers, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)
"""


@cache
def _interpreter() -> Any:
    """Start it; it ends with this process, which closes its input."""
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


class Command:
    """``python -m`` with these arguments, and with *env* on top of the environment, at the project's root."""

    def __init__(self, *arguments: str, **env: str) -> None:
        folder = Path(tempfile.mkdtemp())
        self._arguments, self._out, self._err = arguments, folder / "out", folder / "err"
        self._interpreter = _interpreter()
        output = (str(self._out), str(self._err))
        order = {"arguments": arguments, "env": {**os.environ, **env}, "output": output}
        self._interpreter.stdin.write(json.dumps(order) + "\n")
        self._interpreter.stdin.flush()
        self._pid = int(self._interpreter.stdout.readline())

    def kill(self) -> None:
        """kill -9."""
        os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end; until then, no other command can begin."""
        code = int(self._interpreter.stdout.readline())
        return subprocess.CompletedProcess(self._arguments, code, self._out.read_text(), self._err.read_text())


def python_m(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run such a command."""
    return Command(*arguments, **env).wait()
