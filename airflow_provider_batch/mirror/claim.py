"""
Who is at work on a mirror: one run at a time.

A claim is a file that is created exclusively. One that was not renewed for half an hour is dead, and may be taken over
by whoever is first to create its successor, whose name holds the dead one's nonce: so claims are a chain from
``claim.json`` on, and its end counts. A run that was taken over sees a successor of its own claim, and stops.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Final

from airflow_provider_batch.exceptions import MirrorConflictError
from airflow_provider_batch.mirror.folder import Folder

_FIRST: Final = "claim.json"

#: Seconds between two writes of a claim, and those after which one that was not written is dead.
RENEWED_EVERY: Final = 60.0
DEAD_AFTER: Final = 1800.0


@dataclass(frozen=True, slots=True)
class _Note:
    """The content of a claim's file; times are seconds since the epoch."""

    owner: str
    nonce: str
    since: float
    renewed: float

    @property
    def successor(self) -> str:
        return f"claim-{self.nonce}.json"

    def is_dead(self, now: float) -> bool:
        return now - self.renewed > DEAD_AFTER

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()


class Claim:
    """The right to work on a mirror."""

    def __init__(self, folder: Folder, owner: str, clock: Callable[[], float]) -> None:
        """
        Take it.

        :param owner: stays the same over the tries of one task instance: a retry takes over what a killed try left.
        :raises MirrorConflictError: if another run has it.
        """
        self._folder = folder
        self._owner = owner
        self._clock = clock
        self._take()

    def _take(self) -> None:
        now = self._clock()
        chain = _chain(self._folder)
        name = _FIRST
        if chain:
            last = chain[-1][1]
            if last.owner != self._owner and not last.is_dead(now):
                raise self._conflict(last)
            name = last.successor
        note = _Note(self._owner, secrets.token_hex(8), now, now)
        if not self._folder.create(name, note.to_json()):
            raise self._conflict(next((note for _, note in reversed(_chain(self._folder))), None))
        self._name, self._note = name, note
        self._check_end()  # the one before may have been released in between

    def renew(self) -> None:
        """
        Say that this run is still at work; costs nothing within a minute after the last time.

        :raises MirrorConflictError: if another run has taken over.
        """
        if self._clock() - self._note.renewed >= RENEWED_EVERY:
            self.check()

    def check(self) -> None:
        """
        Return if the claim is still this run's, which is written anew.

        :raises MirrorConflictError: if another run has taken over.
        """
        now = self._clock()
        self._check_end()
        if self._note.is_dead(now):
            # Another run may be taking over at this very moment: be first at that, or stop.
            self._take()
            return
        self._note = replace(self._note, renewed=now)
        self._folder.put(self._name, self._note.to_json())

    def release(self) -> None:
        """Let others work, unless they do already."""
        chain = _chain(self._folder)
        if self._note.is_dead(self._clock()) or not chain or chain[-1][1].nonce != self._note.nonce:
            return
        _delete(self._folder, chain)

    def _check_end(self) -> None:
        chain = _chain(self._folder)
        if not chain:
            raise MirrorConflictError(f"the claim in {self._folder} was deleted while this run was at work")
        if chain[-1][1].nonce != self._note.nonce:
            raise self._conflict(chain[-1][1])

    def _conflict(self, note: _Note | None) -> MirrorConflictError:
        if note is None:
            return MirrorConflictError(f"another run was at work on {self._folder} at the same moment")
        if note.renewed == float("inf"):
            return MirrorConflictError(
                f"the claim in {self._folder} cannot be read: if no run is at work on this mirror, delete "
                f"{self._folder}/{_FIRST}"
            )
        since = datetime.fromtimestamp(note.since, UTC).isoformat(" ", "seconds")
        return MirrorConflictError(
            f"{note.owner} is at work on this mirror since {since}. If it is not "
            f"any more, the next run takes over {DEAD_AFTER / 60:.0f} minutes after its last sign of life, or at once "
            f"if you delete {self._folder}/{_FIRST}"
        )


def drop_claim(folder: Folder, owner: str) -> None:
    """Delete what a killed try of *owner* has left, whose next one has nothing to do."""
    chain = _chain(folder)
    if chain and chain[-1][1].owner == owner:
        _delete(folder, chain)


def _delete(folder: Folder, chain: list[tuple[str, _Note]]) -> None:
    # The first one first: from then on the others lead nowhere.
    for name, _ in chain:
        folder.delete(name)


def _chain(folder: Folder) -> list[tuple[str, _Note]]:
    chain: list[tuple[str, _Note]] = []
    name = _FIRST
    while (content := folder.read(name)) is not None:
        note = _note(content)
        chain.append((name, note))
        name = note.successor
    return chain


def _note(content: bytes) -> _Note:
    try:
        note = _Note(**json.loads(content))
        note.is_dead(0.0)
    except (ValueError, TypeError):
        # Where links are unknown, its writer was killed between two lines, or is between them: its time is unknown.
        return _Note("", "", 0.0, float("inf"))
    return note
