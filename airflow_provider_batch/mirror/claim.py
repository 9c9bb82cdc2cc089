"""
The claim on a mirror: one run at a time.

What is kept true: of two runs that claim a mirror at the same moment, exactly one succeeds; and a run that lost its
claim makes no call after its next look at it, which every call that comes a second after the last one waits for.

A claim is a file that is created exclusively. A killed worker releases nothing, so a claim expires half an hour after
it was last renewed. Then whichever run first creates its successor, exclusively again, takes over. The successor's
name contains the nonce of the expired claim: claims form a chain from ``claim.json`` on, and the last one counts. A
run that was replaced finds a successor of its own claim, and stops.

One lock file does not suffice. Overwritten by whoever finds it expired, it would let two runs in: fsspec can write a
file if it does not exist, but not if it still has the content that was read. Deleted and created again, it would do
the same: the delete of the second run can come so late that it removes the new claim of the first.

For the same reason, the files of the chain are never written again: a run that was frozen while it renewed its claim
would bring it back long after its successor has deleted it. When a claim was last renewed is in a file beside it::

    claim.json, claim-<nonce>.json      who is at work, since when
    alive-<nonce>                       when that run was last seen
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Final

from airflow_provider_batch.exceptions import MirrorConflictError
from airflow_provider_batch.mirror.folder import Folder

_FIRST: Final = "claim.json"
_NONCE: Final = re.compile(r"[0-9a-f]+")

#: Seconds for which a look at the claim is good: two or three small reads, while a call takes some tenths of a second.
LOOK_INTERVAL: Final = 1.0

#: Seconds between two renewals of a claim, and from the last renewal until it expires.
RENEWAL_INTERVAL: Final = 60.0
LIFETIME: Final = 1800.0


@dataclass(frozen=True, slots=True)
class _Entry:
    """The content of a claim's file; times are seconds since the epoch."""

    owner: str
    nonce: str
    since: float
    renewed: float

    @property
    def successor(self) -> str:
        return f"claim-{self.nonce}.json"

    @property
    def sign_of_life(self) -> str:
        return f"alive-{self.nonce}"

    @property
    def is_readable(self) -> bool:
        return self.renewed != float("inf")

    def has_expired(self, now: float) -> bool:
        return now - self.renewed > LIFETIME

    def seen(self, folder: Folder) -> _Entry:
        """Return the entry with the time at which its run was last seen."""
        with suppress(ValueError, TypeError):
            return replace(self, renewed=max(self.renewed, float(json.loads(folder.read(self.sign_of_life) or b""))))
        return self

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()


class Claim:
    """The exclusive right to work on a mirror."""

    def __init__(self, folder: Folder, owner: str, clock: Callable[[], float]) -> None:
        """
        Take the claim.

        :param owner: the same for all tries of one task instance: a retry takes over the claim of a killed try.
        :raises MirrorConflictError: if another run holds it.
        """
        self._folder = folder
        self._owner = owner
        self._clock = clock
        self._lock = threading.RLock()
        self._take()

    def _take(self) -> None:
        now = self._clock()
        name = _FIRST
        if chain := _read_chain(self._folder):
            last = chain[-1][1]
            if last.owner != self._owner and not last.seen(self._folder).has_expired(now):
                raise self._conflict(last)
            name = last.successor
        entry = _Entry(self._owner, secrets.token_hex(8), now, now)
        if not self._folder.create(name, entry.to_json()):
            raise self._conflict(next((entry for _, entry in reversed(_read_chain(self._folder))), None))
        self._name, self._entry, self._looked = name, entry, now
        try:
            self._check_last()  # the previous claim may have been released in between
        except OSError:
            with suppress(OSError):  # nobody would give it back
                self.release()
            raise

    def look(self) -> None:
        """
        Check the claim, unless that was done within the last second; safe to call from many threads, before each call.

        :raises MirrorConflictError: if another run has taken over.
        """
        with self._lock:
            if not 0 <= self._clock() - self._looked < LOOK_INTERVAL:
                self.check()

    def check(self) -> None:
        """
        Check that this run still holds the claim, and extend it once a minute.

        :raises MirrorConflictError: if another run has taken over.
        """
        with self._lock:
            now = self._clock()
            self._check_last()
            if self._entry.has_expired(now):
                self._take()  # another run may be taking over at this very moment: be first, or stop
            elif now - self._entry.renewed >= RENEWAL_INTERVAL:
                self._entry = replace(self._entry, renewed=now)
                self._folder.write(self._entry.sign_of_life, json.dumps(now).encode())
            self._looked = now

    def release(self) -> None:
        """Delete the claim, unless it has expired or another run has taken over."""
        chain = _read_chain(self._folder)
        if not self._entry.has_expired(self._clock()) and chain and chain[-1][1].nonce == self._entry.nonce:
            _delete(self._folder, chain)

    def _check_last(self) -> None:
        chain = _read_chain(self._folder)
        if not chain:
            raise MirrorConflictError(f"the claim in {self._folder} was deleted while this run was at work. Retry it.")
        if chain[-1][1].nonce != self._entry.nonce:
            raise self._conflict(chain[-1][1])

    def _conflict(self, entry: _Entry | None) -> MirrorConflictError:
        if entry is None:
            return MirrorConflictError(f"another run claimed the mirror in {self._folder} at the same moment. Retry.")
        if not entry.is_readable:
            return MirrorConflictError(
                f"the claim in {self._folder} cannot be read. If no run is at work on this mirror, delete "
                f"{self._folder}/{_FIRST}."
            )
        since = datetime.fromtimestamp(entry.since, UTC).isoformat(" ", "seconds")
        return MirrorConflictError(
            f"{entry.owner} is at work on this mirror; its claim dates from {since}. If that run was killed, another "
            f"one can take over {LIFETIME / 60:.0f} minutes after the last renewal, or at once if you delete "
            f"{self._folder}/{_FIRST}."
        )


def read_owner(folder: Folder, now: float) -> str | None:
    """Return who is at work on a mirror; None if nobody is, or if the claim has expired."""
    chain = _read_chain(folder)
    if not chain or chain[-1][1].seen(folder).has_expired(now):
        return None
    return chain[-1][1].owner


def release_claim_of(folder: Folder, owner: str) -> None:
    """Delete the claim that a killed try of *owner* left."""
    chain = _read_chain(folder)
    if chain and chain[-1][1].owner == owner:
        _delete(folder, chain)


def _delete(folder: Folder, chain: list[tuple[str, _Entry]]) -> None:
    for name, entry in chain:  # without the first one, the others do not count
        folder.delete(name)
        folder.delete(entry.sign_of_life)


def _read_chain(folder: Folder) -> list[tuple[str, _Entry]]:
    chain: list[tuple[str, _Entry]] = []
    name, seen = _FIRST, set[str]()
    while (content := folder.read(name)) is not None:
        seen.add(name)
        entry = _parse(content)
        if entry.successor in seen:  # claims that name each other were not written by a run
            entry = _UNREADABLE
        chain.append((name, entry))
        if not entry.is_readable:
            break
        name = entry.successor
    return chain


#: Without hard links a claim is not written in one piece: its writer may be at work, or dead.
_UNREADABLE: Final = _Entry("", "", 0.0, float("inf"))


def _parse(content: bytes) -> _Entry:
    try:
        entry = _Entry(**json.loads(content))
        entry.has_expired(0.0)
        datetime.fromtimestamp(entry.since, UTC)
        return entry if _NONCE.fullmatch(entry.nonce) else _UNREADABLE
    except (ValueError, TypeError, OverflowError, OSError):
        return _UNREADABLE
