"""What a mirror is of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """What a snapshot is of; ``recipient`` is a digest of the app or project that the ids go to, and of its host."""

    audience: str
    type: str
    recipient: str
