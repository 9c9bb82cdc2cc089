"""What a process knows about itself: time, CPU, memory. Standard library only."""

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
    """Return what this process has used so far, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def memory() -> float:
    """Return what is resident now, in MB; where the system does not tell, the most that ever was."""
    return _status("VmRSS")


def peak_memory() -> float:
    """Return the most that was resident, in MB, since the start or :func:`forget_peak`."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Start anew with what is resident now, where the system lets us: importing leaves a peak behind."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def job() -> Any:
    """Read what this process is to do."""
    return json.loads(sys.argv[1])


def report(meter: Meter, **more: object) -> None:
    """Print what was measured, as the last line."""
    print(json.dumps({"wall": meter.wall, "cpu": meter.cpu, "peak": peak_memory(), **more}), flush=True)


def _status(name: str) -> float:
    # Not ru_maxrss: on Linux a process inherits that one from whoever started it.
    with suppress(OSError):
        if found := re.search(rf"^{name}:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE):
            return int(found[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1024 / (1024 if sys.platform == "darwin" else 1)
