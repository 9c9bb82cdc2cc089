"""
The tries that have not committed, as either store knows them: each may have sent something since the snapshot.

A try that was killed is run again by Airflow, mostly with the same set. It then goes on with the *series* of the tries
before it, in which what a journal noted as delivered still counts, unless another run has sent something in between.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Pending:
    """
    What a try may send: who it is, the digest of its new set, and whether any member may be replaced.

    ``series`` is the same for tries of one owner with the same set that follow each other with no other in between:
    ``known`` are the files of the unfinished tries that were there before the first of them. ``names`` are those of the
    flags of its ids.
    """

    owner: str
    series: str
    nonce: str
    replaces: bool
    count: int
    sha256: str = ""
    known: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The pending file of a try that has not committed, and what is known of this try."""

    name: str
    pending: Pending
    indexing_tokens: tuple[str, ...] = ()
    has_ended: bool = False

    @property
    def is_rejection(self) -> bool:
        """Whether its ids are those that Batch rejected, which nobody is sending any more."""
        return not self.pending.owner


@dataclass(frozen=True, slots=True)
class Tries:
    """The tries that count."""

    generation: int
    unfinished: tuple[Unfinished, ...] = ()

    @property
    def replaces(self) -> bool:
        """Whether an unfinished try may have replaced any member."""
        return any(one.pending.replaces for one in self.unfinished)

    @property
    def uncertain(self) -> int:
        """How many ids an unfinished try may have sent, at most."""
        return sum(one.pending.count for one in self.unfinished)

    @property
    def unfinished_tokens(self) -> tuple[str, ...]:
        """The tokens that unfinished tries have received."""
        return tuple(dict.fromkeys(token for one in self.unfinished for token in one.indexing_tokens))

    def pending(self, owner: str, nonce: str, sha256: str, *, replaces: bool, count: int) -> Pending:
        """Return what a new try notes; it continues a series if nobody but its tries has sent anything since."""
        own = {"owner": owner, "sha256": sha256, "replaces": replaces}
        earlier = {
            one.name: one.pending
            for one in self.unfinished
            if one.name.startswith(f"{self.generation:08d}-")
            and own == {name: getattr(one.pending, name) for name in own}
        }
        others = {one.name for one in self.unfinished if one.pending.owner} - {*earlier}
        last = next(iter(earlier.values()), None)
        if last is None or any(one.series != last.series or not others.issubset(one.known) for one in earlier.values()):
            return Pending(owner, nonce, nonce, replaces, count, sha256, tuple(sorted(others)))
        return replace(last, nonce=nonce, count=count)
