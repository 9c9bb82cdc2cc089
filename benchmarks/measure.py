"""Measure the time, CPU and memory of the current process, with the standard library only."""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

_STATUS = Path("/proc/self/status")


class Meter:
    """Wall and CPU seconds (user and system, all threads, no children) of a ``with`` block."""

    wall = 0.0
    cpu = 0.0

    def __enter__(self) -> Self:
        self._cpu_then, self._then = cpu_seconds(), time.perf_counter()
        return self

    def __exit__(self, *exc: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._then, cpu_seconds() - self._cpu_then


def cpu_seconds() -> float:
    """Return the CPU seconds that this process has used so far, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def memory() -> float:
    """Return the resident memory in MB; on systems that do not report it, its peak."""
    return _status("VmRSS")


def peak_memory() -> float:
    """Return the peak of resident memory in MB, since the start or :func:`forget_peak`."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Reset the peak to the resident memory, where the system allows it: imports leave a peak behind."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def job() -> Any:
    """Read the job of this process from the command line."""
    return json.loads(sys.argv[1])


def report(meter: Meter, **more: object) -> None:
    """Print the measured values as the last line."""
    print(json.dumps({"wall": meter.wall, "cpu": meter.cpu, "peak": peak_memory(), **more}), flush=True)


def _status(name: str) -> float:
    # Not ru_maxrss: on Linux, a process inherits it from its parent.
    with suppress(OSError):
        if found := re.search(rf"^{name}:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE):
            return int(found[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1024 / (1024 if sys.platform == "darwin" else 1)
