"""
The head of a mirror: one row that decides which of the other tables count; and what each step of a run makes of it.

What is kept true: the row changes only by an UPDATE that names the version it was seen at, and a run believes that its
change was made only when it reads its own nonce back. So of two runs one succeeds; and an UPDATE that is applied late,
after another one, changes nothing. Neither the number of changed rows nor an error decides: drivers count differently,
and an answer can be lost.

The steps are pure functions from one state to the next. A step is done again on the state that is found then, if
another one came in between: one that needs the claim fails if somebody else has it by now.

- An id passes for unchanged only if it is in the snapshot with equal attributes, and in no table of a try that counts.
- No call is made before the run's own try is noted, with a table that holds all earlier uncertain ids.
- A try that has ended is covered by that. One that has not (it was killed, or overtaken) may go on sending for a
  moment: it is an *echo*, and counts for one more generation.
- Every table is noted in ``trash`` before it is made, so no catalogue is needed to find what a dead run has left. It is
  dropped once the head does not name it, and no run is at work that may be about to have it named; and again later, as
  a CREATE can be applied after its client has died.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Final

from airflow_provider_batch.exceptions import MirrorConflictError
from airflow_provider_batch.mirror.claim import LIFETIME
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.mirror.tries import Pending, Tries, Unfinished

FORMAT: Final = 1

#: Seconds after which a table that was noted is not made any more, by however slow a database.
_LATE: Final = 600.0


@dataclass(frozen=True, slots=True)
class Claim:
    """Who is at work; times are seconds since the epoch."""

    owner: str
    nonce: str
    since: float
    renewed: float


@dataclass(frozen=True, slots=True)
class Change:
    """
    A committed run whose changes are not in the log yet.

    :param changes: the table of its changes.
    :param invalid: the table of the ids that are not valid by more than their length; None if there were none.
    :param rejected: the table of the ids that Batch rejected; None if there were none.
    :param replaces: whether the audience was replaced: what was in it and stays has not changed, though it was sent.
    :param refused: the tables of ids that the snapshot has, but that Batch had rejected when they were last sent.
    """

    at: float
    run: str
    changes: str
    invalid: str | None = None
    rejected: str | None = None
    replaces: bool = False
    refused: tuple[str, ...] = ()

    @property
    def tables(self) -> list[str]:
        """The tables that it needs."""
        return [name for name in (self.changes, self.invalid, self.rejected, *self.refused) if name]


@dataclass(frozen=True, slots=True)
class State:
    """
    All that the head holds.

    :param members: how many ids the snapshot has; None without a snapshot.
    :param written_at: when it was committed; times are seconds since the epoch.
    :param base_generation: the generation that the base has.
    :param columns: the names and types of its attributes.
    :param shape: a digest of the query, and of the type of its ids.
    :param attributes: of profiles: the keys of all attributes that were ever sent, by which flags are read.
    :param tries: those that have not committed and still count; the name of each ends in that of its table.
    :param echoes: the names of those that count once more.
    :param trash: names of tables, with the time at which each was noted, and whether it was dropped since.
    """

    target: Target | None = None
    generation: int = 0
    members: int | None = None
    written_at: float = 0.0
    base: str | None = None
    base_count: int = 0
    base_generation: int = 0
    based_at: float = 0.0
    net: str | None = None
    net_count: int = 0
    columns: tuple[tuple[str, str], ...] = ()
    shape: str = ""
    attributes: tuple[str, ...] = ()
    indexing_tokens: tuple[str, ...] = ()
    tries: tuple[Unfinished, ...] = ()
    echoes: tuple[str, ...] = ()
    claim: Claim | None = None
    trash: tuple[tuple[str, float, bool], ...] = ()
    unlogged: tuple[Change, ...] = ()

    def to_json(self) -> str:
        """Return the content of the column ``state``."""
        return json.dumps(_fields(self), default=_fields, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> State:
        """Return the state in the column; KeyError, TypeError or ValueError if it holds none."""
        if not text:
            return cls()
        found: dict[str, Any] = {**json.loads(text)}
        if found.pop("names", ()):
            raise ValueError("of profiles without flags")
        found["target"] = found["target"] and Target(**found["target"])
        found["claim"] = found["claim"] and Claim(**found["claim"])
        found["tries"] = tuple(map(_try, found["tries"]))
        found["unlogged"] = tuple(
            Change(**{**each, "refused": tuple(each.get("refused", ()))}) for each in found["unlogged"]
        )
        for name in ("columns", "trash"):
            found[name] = tuple(map(tuple, found[name]))
        for name in ("indexing_tokens", "echoes", "attributes"):
            found[name] = tuple(found[name])
        return cls(**found)

    @property
    def unfinished(self) -> Tries:
        """The tries that count, as every store knows them."""
        return Tries(self.generation, self.tries)

    @property
    def named(self) -> set[str]:
        """The tables that this state needs."""
        tables = {self.base, self.net, *map(table_of, self.tries)}
        return {name for name in tables if name} | {name for change in self.unlogged for name in change.tables}


@dataclass(frozen=True, slots=True)
class Head:
    """The row as it was read; ``confirmed`` is the last generation that Batch is known to have indexed."""

    version: int
    nonce: str
    confirmed: int
    state: State

    @property
    def is_confirmed(self) -> bool:
        """Whether all writes of the last run are indexed."""
        return self.confirmed == self.state.generation


def table_of(one: Unfinished) -> str:
    """Return the table with the ids that a try may have sent."""
    return one.name.partition("-")[2]


def name_of(generation: int, table: str) -> str:
    """Return the name of a try that found *generation*."""
    return f"{generation:08d}-{table}"


def claimed(state: State, claim: Claim, tables: Iterable[str]) -> State:
    """
    Take the claim; the run may then make *tables*.

    :raises MirrorConflictError: if another owner has it and is alive.
    """
    held = state.claim
    if held and held.owner != claim.owner and claim.since - held.renewed <= LIFETIME:
        raise conflict_with(held)
    return replace(state, claim=claim, trash=noted_tables(state, tables, claim.since))


def extended(state: State, claim: Claim, tables: Iterable[str], now: float) -> State:
    """Note that the run is alive, and that it may make *tables*."""
    check_held(state, claim)
    return replace(state, claim=replace(claim, renewed=now), trash=noted_tables(state, tables, now))


def begun(
    state: State, planned: State, claim: Claim, pending: Pending, table: str, attributes: tuple[str, ...] = ()
) -> State:
    """
    Note what may be sent from now on; those earlier tries that have ended are covered by it.

    What Batch has rejected is still needed if this try ends without a commit: to know what it has, for the log.

    :param planned: the state that was compared with.
    :param attributes: the keys of all attributes that were ever sent, or are from now on.
    :raises MirrorConflictError: unless the tries are those of then.
    """
    check_held(state, claim)
    if state.generation != planned.generation or _names(state.tries) != _names(planned.tries):
        raise conflict()
    own = Unfinished(name_of(state.generation, table), pending)
    tries = (*(one for one in state.tries if not one.has_ended or one.is_rejection), own)
    return replace(state, tries=tries, attributes=attributes or state.attributes)


def noted(state: State, own: str, tokens: Iterable[str], *, has_ended: bool) -> State:
    """Keep the tokens that the try *own* has received, for the next run to wait for."""
    tries = [
        replace(one, indexing_tokens=tuple(tokens), has_ended=has_ended) if one.name == own else one
        for one in state.tries
    ]
    return replace(state, tries=tuple(tries))


def committed(state: State, planned: State, claim: Claim, own: str, new: State, rejected: Unfinished | None) -> State:
    """
    Make the new snapshot the one that counts; the run keeps the claim until its changes are in the log.

    :param own: the name of the try that has sent it.
    :param new: a state with the new snapshot's fields.
    :param rejected: the ids of which Batch has rejected a write.
    """
    check_held(state, claim)
    done = {own, *(one.name for one in planned.tries if one.has_ended or one.name in planned.echoes)}
    # Those rejected are there already if the step is done again, on a head that it has made and somebody else changed.
    left = tuple(one for one in state.tries if one.name not in done and one != rejected)
    return replace(
        new,
        generation=planned.generation + 1,
        attributes=state.attributes,
        tries=left if rejected is None else (*left, rejected),
        echoes=tuple(one.name for one in left if one.name in _names(planned.tries)),
        claim=state.claim if new.unlogged else None,
        trash=state.trash,
    )


def rebased(state: State, claim: Claim, base: str, count: int, now: float) -> State:
    """Put a new base in place of the old one and its net; the snapshot stays the same."""
    check_held(state, claim)
    return replace(
        state,
        base=base,
        base_count=count,
        base_generation=state.generation,
        based_at=now,
        net=None,
        net_count=0,
    )


def released(state: State, claim: Claim, changes: Iterable[Change] = ()) -> State:
    """Give the claim back; *changes* are in the log by now."""
    return replace(logged(state, claim, changes), claim=None)


def overtaken(state: State, pending: Pending, tokens: Iterable[str], table: str, now: float) -> State:
    """Note what a run that another one has overtaken may have sent; it has ended by now."""
    own = Unfinished(name_of(state.generation, table), pending, tuple(tokens), has_ended=True)
    return replace(state, tries=(*state.tries, own), trash=noted_tables(state, [table], now))


def logged(state: State, claim: Claim, changes: Iterable[Change]) -> State:
    """Forget those changes that are in the log by now."""
    check_held(state, claim)
    done = set(changes)
    return replace(state, unlogged=tuple(change for change in state.unlogged if change not in done))


def outdated(state: State, now: float) -> list[str]:
    """
    Return the tables to drop: those that were not, and once more those that nobody can be about to make by now.

    :param state: what a step of this run has made while it had the claim: no earlier run can have one of these tables
        named any more, and a later one has not noted its own yet.
    """
    named = state.named
    return [name for name, at, dropped in state.trash if name not in named and (not dropped or now - at > _LATE)]


def cleaned(state: State, dropped: Iterable[str], now: float) -> State:
    """Note that these tables were dropped; those that nobody can be about to make are forgotten."""
    gone = {*dropped}
    left = [each for each in state.trash if each[0] not in gone or now - each[1] <= _LATE]
    return replace(state, trash=tuple((name, at, was or name in gone) for name, at, was in left))


def check_held(state: State, claim: Claim) -> None:
    """
    Check that the claim is still that of this run.

    :raises MirrorConflictError: if another one has taken over.
    """
    if state.claim is None or state.claim.nonce != claim.nonce:
        raise conflict() if state.claim is None else conflict_with(state.claim)


def conflict() -> MirrorConflictError:
    """Return the error of a run that another one has overtaken."""
    return MirrorConflictError("another run changed this mirror after this run had compared its ids with it. Retry.")


def conflict_with(claim: Claim) -> MirrorConflictError:
    """Return the error of a run that finds another one at work."""
    since = datetime.fromtimestamp(claim.since, UTC).isoformat(" ", "seconds")
    return MirrorConflictError(
        f"{claim.owner} is at work on this mirror; its claim dates from {since}. If that run was killed, another one "
        f"can take over {LIFETIME / 60:.0f} minutes after the last renewal."
    )


def noted_tables(state: State, tables: Iterable[str], now: float) -> tuple[tuple[str, float, bool], ...]:
    """Return the trash with *tables*, which are about to be made."""
    return (*state.trash, *((name, now, False) for name in tables))


def _names(tries: Iterable[Unfinished]) -> set[str]:
    return {one.name for one in tries}


def _fields(value: Any) -> dict[str, Any]:
    # Not asdict, which copies every value of a long list by steps of Python.
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _try(found: dict[str, Any]) -> Unfinished:
    pending = found["pending"]
    return Unfinished(
        found["name"],
        Pending(**{**pending, **{name: tuple(pending.get(name, ())) for name in ("known", "names")}}),
        tuple(found["indexing_tokens"]),
        found["has_ended"],
    )
