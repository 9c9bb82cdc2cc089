"""
A model of both stores: runs as generators that a schedule interleaves, kills, and tries again.

What decides is the product's own: the steps of a head in tables, and what a head in a folder has as settled. Around
it, everything may go wrong that can: a statement or a file is applied though its answer is lost, or late, or never; so
is a call to Batch; a run is killed, frozen, overtaken by its own next try, or met by another owner; the source changes.

Three bounds stand for what no protocol can heal: Batch applies what it has accepted within some turns; a call, or an
INSERT into the log, without an answer is applied at once or never; and what a run that was overtaken has inserted into
the log, but not committed, is rolled back.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_batch.exceptions import MirrorConflictError
from airflow_provider_batch.mirror.claim import LIFETIME
from airflow_provider_batch.mirror.snapshot import Head as FolderHead
from airflow_provider_batch.mirror.snapshot import State as FolderState
from airflow_provider_batch.mirror.tables import head as steps
from airflow_provider_batch.mirror.tables.head import Change, Claim, State
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.mirror.tries import Pending, Unfinished

Run = Generator[None, None, None]

IDS = range(10)
CHUNK = 3
#: Turns after which Batch has applied what it accepted.
SLOWEST = 12
TARGET = Target("vip", "custom_ids", "app")


class Lost(Exception):
    """The database, the storage or Batch did not answer."""


@dataclass
class Rules:
    """What the protocol is; each mutant changes one."""

    looks: bool = True
    waits: bool = True
    compares: bool = True  # the version of a head, or that a file does not exist
    remembers: bool = True  # what is uncertain
    notes_first: bool = True  # before the first call
    keeps_tokens: bool = True  # of a failed try
    cleans_unnamed_only: bool = True
    spares_others: bool = True  # the tables of a run that has noted them
    logs_under_claim: bool = True
    repairs_log: bool = True


@dataclass
class World:
    """Batch, the source, and what is on its way to either store."""

    chance: random.Random
    rules: Rules
    members: set[int] = field(default_factory=set)
    flying: list[tuple[set[int], set[int], str, int]] = field(default_factory=list)
    late: list[Callable[[], None]] = field(default_factory=list)
    source: set[int] = field(default_factory=lambda: set(range(6)))
    count: int = 0
    turn: int = 0
    is_peaceful: bool = False

    def name(self) -> str:
        self.count += 1
        return f"{self.count:06x}"

    def apply(self, operation: Callable[[], None]) -> None:
        """An operation of the store: applied; or without an answer, and applied, late, or never."""
        fate = 1.0 if self.is_peaceful else self.chance.random()
        if fate < 0.03:
            operation()
            raise Lost
        if fate < 0.05:
            self.late.append(operation)
            raise Lost
        if fate < 0.06:
            raise Lost
        operation()

    def send(self, adds: set[int], removes: set[int]) -> str:
        """
        A call to Batch, which applies it later.

        One without an answer is applied at once, if at all: nobody has a token to wait for, so that one which is
        applied after those of the next run is beyond any protocol.
        """
        token, fate = self.name(), 1.0 if self.is_peaceful else self.chance.random()
        if fate >= 0.05:
            self.flying.append((adds, removes, token, self.turn))
        if 0.05 <= fate < 0.1:
            self.land(len(self.flying) - 1)
        if fate < 0.1:
            raise Lost
        return token

    def land(self, position: int) -> None:
        adds, removes, *_ = self.flying.pop(position)
        self.members |= adds
        self.members -= removes

    def finds_it_expired(self) -> bool:
        """Whether a claim is old enough to be taken over, which may be that of a run that is only slow."""
        return self.is_peaceful or self.chance.random() < 0.3

    def are_indexed(self, tokens: Iterable[str]) -> bool:
        known = {token for _, _, token, _ in self.flying}
        return known.isdisjoint(tokens)

    def tick(self) -> None:
        """Something that was on its way arrives, or the source changes."""
        if self.late and self.chance.random() < 0.3:
            self.late.pop(self.chance.randrange(len(self.late)))()
        if self.flying and self.chance.random() < 0.2:
            self.land(self.chance.randrange(len(self.flying)))
        self.turn += 1
        while self.flying and self.flying[0][3] < self.turn - SLOWEST:
            self.land(0)
        if self.chance.random() < 0.1:
            self.source ^= {self.chance.choice(IDS)}

    def settle(self) -> None:
        while self.late:
            self.late.pop(0)()
        while self.flying:
            self.land(0)


def planned(new: set[int], old: set[int], uncertain: set[int]) -> dict[int, str]:
    adds = dict.fromkeys((id_ for id_ in new if id_ not in old or id_ in uncertain), "+")
    return adds | dict.fromkeys((old | uncertain) - new, "-")


class Tables:
    """The store in tables: one head that changes by compare-and-set, and tables that do not."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.version, self.state = 0, State()
        self.confirmed = 0
        self.tables: dict[str, Any] = {}
        self.log: list[str] = []
        self.overtaken: set[str] = set()

    def append(self, name: str, claim: Claim) -> Run:
        """An INSERT of the changes in a table, unless they are in the log; others see them once it has committed."""
        is_known = name in self.log
        yield
        if is_known or claim.nonce in self.overtaken:
            return
        self.tables[name]  # must be there still
        late = len(self.world.late)
        try:
            self.world.apply(lambda: self.log.append(name))
        finally:
            del self.world.late[late:]

    def is_right(self) -> bool:
        """Whether each run that has committed is in the log once."""
        return len({*self.log}) == len(self.log) == self.state.generation

    def create(self, name: str, content: Any) -> None:
        self.world.apply(lambda: self.tables.__setitem__(name, content))

    def change(self, step: Callable[[State], State]) -> State:
        for _ in range(5):
            version, state = self.version, step(self.state)
            mine = replace(state, shape=self.world.name())

            def update(version: int = version, mine: State = mine) -> None:
                if self.version == version or not self.world.rules.compares:
                    before, self.version, self.state = self.state.claim, version + 1, mine
                    if before and mine.claim and mine.claim.nonce != before.nonce:
                        self.overtaken.add(before.nonce)

            lost = False
            try:
                self.world.apply(update)
            except Lost:
                lost = True
            if self.state.shape == mine.shape:
                return self.state
            if lost and self.version == version:
                raise Lost
        raise MirrorConflictError("")

    def snapshot(self, state: State) -> set[int]:
        base: set[int] = set(self.tables[state.base]) if state.base else set()
        net: dict[int, str] = self.tables[state.net] if state.net else {}
        return (base - {*net}) | {id_ for id_, op in net.items() if op == "+"}

    def run(self, owner: str) -> Run:
        world, rules = self.world, self.world.rules
        nonce = world.name()
        claim = Claim(owner, nonce, LIFETIME + 1 if world.finds_it_expired() else 0.0, 0.0)
        tables = [f"d{nonce}", f"e{nonce}", f"b{nonce}"]
        state = self.change(lambda state: steps.claimed(state, claim, tables))
        yield
        try:
            yield from self._claimed(owner, nonce, claim, state, rules)
        except (Lost, MirrorConflictError):
            if self.state.claim and self.state.claim.nonce == nonce:
                self.change(lambda state: steps.released(state, claim))
            raise

    def _claimed(self, owner: str, nonce: str, claim: Claim, state: State, rules: Rules) -> Run:
        world = self.world
        if state.unlogged and rules.repairs_log:
            for change in state.unlogged:
                yield from self.append(change.changes, claim)
            state = self.change(lambda now: steps.logged(now, claim, state.unlogged))
        uncertain = (
            {id_ for one in state.tries for id_ in self.tables[steps.table_of(one)]} if rules.remembers else set()
        )
        changes = planned(set(world.source), self.snapshot(state), uncertain)
        self.create(f"d{nonce}", changes)
        yield
        tokens = list(state.indexing_tokens if self.confirmed != state.generation else ())
        tokens += [token for one in state.tries for token in one.indexing_tokens] if rules.keeps_tokens else []
        while rules.waits and not world.are_indexed(tokens):
            yield
        if not changes and state.members is not None:
            self.change(lambda state: steps.released(state, claim))
            return
        new = replace(state, members=len(world.source), base=state.base, net=f"e{nonce}")
        net = {**(self.tables[state.net] if state.net else {}), **changes}
        if len(net) > 4:
            new = replace(new, base=f"b{nonce}", net=None)
            gone = (self.snapshot(state) - {*changes}) | {id_ for id_, op in changes.items() if op == "+"}
            self.create(f"b{nonce}", gone)
        else:
            self.create(f"e{nonce}", net)
        yield
        pending = Pending(owner, nonce, nonce, False, len(changes))
        own = steps.name_of(state.generation, f"d{nonce}")
        if rules.notes_first:
            self.change(lambda now: steps.begun(now, state, claim, pending, f"d{nonce}"))
        yield
        sent: list[str] = []
        look = (lambda: steps.check_held(self.state, claim)) if rules.looks else None
        try:
            yield from _send(world, changes, look, sent)
            if not rules.notes_first:
                self.change(lambda now: steps.begun(now, state, claim, pending, f"d{nonce}"))
            left = None
            log = (*state.unlogged, Change(0.0, owner, f"d{nonce}"))
            new = replace(new, indexing_tokens=tuple(sent), unlogged=log)
            done = self.change(lambda now: steps.committed(now, state, claim, own, new, left))
            if not rules.logs_under_claim:
                done = self.change(lambda now: replace(now, claim=None))
        except Lost:
            self.change(lambda now: steps.noted(_held(now, claim), own, sent, has_ended=True))
            raise
        except MirrorConflictError:
            yield from self._overtaken(pending, sent, nonce)
            raise
        yield
        for change in done.unlogged:
            yield from self.append(change.changes, claim)
        if rules.logs_under_claim:
            done = self.change(lambda now: steps.released(now, claim, done.unlogged))
        else:
            done = self.change(lambda now: replace(now, unlogged=()))
        yield
        seen = done if rules.spares_others else self.state
        outdated = steps.outdated(seen, 0.0) if rules.cleans_unnamed_only else [name for name, *_ in seen.trash]
        for name in outdated:
            self.world.apply(lambda name=name: self.tables.pop(name, None))  # type: ignore[misc]
            yield
        self.change(lambda now: steps.cleaned(now, outdated, 0.0))
        while not world.are_indexed(sent):
            yield
        if self.state.generation == done.generation:
            self.confirmed = done.generation

    def _overtaken(self, pending: Pending, sent: list[str], nonce: str) -> Run:
        for _ in range(5):
            name = f"d{self.world.name()}"
            state = self.change(lambda state, name=name: replace(state, trash=steps.noted_tables(state, [name], 0.0)))  # type: ignore[misc]
            version = self.version
            yield
            if (changes := self.tables.get(f"d{nonce}")) is None:
                return
            self.create(name, changes)
            yield
            if self.version == version:
                self.change(
                    lambda now, state=state, name=name: steps.overtaken(  # type: ignore[misc]
                        now if now is state else state, pending, sent, name, 0.0
                    )
                )
                return


def _held(state: State, claim: Claim) -> State:
    steps.check_held(state, claim)
    return state


def _send(world: World, changes: dict[int, str], look: Callable[[], object] | None, sent: list[str]) -> Run:
    items = sorted(changes.items())
    for start in range(0, len(items), CHUNK):
        part = items[start : start + CHUNK]
        if look is not None:
            look()
        if world.chance.random() < 0.1:
            yield  # frozen between the look and the call
        for attempt in range(3):
            try:
                sent.append(world.send({id_ for id_, op in part if op == "+"}, {id_ for id_, op in part if op == "-"}))
                break
            except Lost:
                if attempt == 2:
                    raise
                yield
        yield


class Files:
    """The store in a folder: files that appear as a whole, and of which some are created exclusively."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.heads: dict[str, tuple[FolderHead, frozenset[int]]] = {}
        self.pending: dict[str, tuple[Pending, frozenset[int]]] = {}
        self.tokens: dict[str, tuple[tuple[str, ...], bool]] = {}
        self.claims: list[tuple[str, str]] = []
        self.confirmed = 0

    def is_right(self) -> bool:
        return True  # a folder has no log

    def list_files(self) -> list[str]:
        return [*self.heads, *self.pending]

    def state(self) -> FolderState:
        name = max(self.heads, default=None)
        head = self.heads[name][0] if name else None
        settled = frozenset(head.settled if head else ())
        tries = [
            Unfinished(each, pending, *self.tokens.get(each, ((), False)))
            for each, (pending, _) in sorted(self.pending.items())
            if each not in settled
        ]
        return FolderState(head.generation if head else 0, tuple(tries), name, head, settled)

    def check(self, nonce: str) -> None:
        if not self.claims or self.claims[-1][1] != nonce:
            raise MirrorConflictError("")

    def claim(self, owner: str, nonce: str) -> None:
        place = len(self.claims)
        if self.claims and self.claims[-1][0] != owner and not self.world.finds_it_expired():
            raise MirrorConflictError("")

        def create() -> None:
            if len(self.claims) == place or not self.world.rules.compares:
                self.claims.append((owner, nonce))

        try:
            self.world.apply(create)
        except Lost:
            if not self.claims or self.claims[-1][1] != nonce:
                raise
        self.check(nonce)

    def release(self, nonce: str) -> None:
        if self.claims and self.claims[-1][1] == nonce:
            self.world.apply(lambda: self.claims.clear() if self.claims and self.claims[-1][1] == nonce else None)

    def write(self, name: str, pending: Pending, ids: Iterable[int]) -> None:
        content = frozenset(ids)
        self.world.apply(lambda: self.pending.__setitem__(name, (pending, content)))

    def note(self, name: str, tokens: Iterable[str], *, has_ended: bool) -> None:
        known = tuple(tokens)
        self.world.apply(lambda: self.tokens.__setitem__(name, (known, has_ended)))

    def run(self, owner: str) -> Run:
        world, rules = self.world, self.world.rules
        state, nonce = self.state(), world.name()
        old: set[int] = set(self.heads[state.head_name][1]) if state.head_name else set()
        uncertain = {id_ for one in state.unfinished for id_ in self.pending[one.name][1]} if rules.remembers else set()
        new = set(world.source)
        changes = planned(new, old, uncertain)
        yield
        tokens = list(state.head.indexing_tokens if state.head and self.confirmed != state.generation else ())
        tokens += state.unfinished_tokens if rules.keeps_tokens else ()
        while rules.waits and not world.are_indexed(tokens):
            yield
        if not changes and state.head:
            if self.claims and self.claims[-1][0] == owner:
                self.claims.clear()
            return
        self.claim(owner, nonce)
        yield
        try:
            yield from self._claimed(owner, nonce, state, changes, new)
        except (Lost, MirrorConflictError):
            self.release(nonce)
            raise

    def _claimed(self, owner: str, nonce: str, state: FolderState, changes: dict[int, str], new: set[int]) -> Run:
        world, rules = self.world, self.world.rules
        now = self.state()
        if now.head_name != state.head_name or {one.name for one in now.unfinished} != {
            one.name for one in state.unfinished
        }:
            raise MirrorConflictError("")
        own = f"{state.generation:08d}-{nonce}.pending.gz"
        pending = Pending(owner, nonce, nonce, False, len(changes))
        if rules.notes_first:
            self.write(own, pending, changes)
            yield
        self.check(nonce)
        for one in state.unfinished:
            if one.has_ended and rules.notes_first:
                self.pending.pop(one.name, None)
        sent: list[str] = []
        look = (lambda: self.check(nonce)) if rules.looks else None
        try:
            yield from _send(world, changes, look, sent)
            self.check(nonce)
            if not rules.notes_first:
                self.write(own, pending, changes)
            settled, echoes = state.settle(own, self)  # type: ignore[arg-type]
            name = f"{state.generation + 1:08d}.head.json"
            head = FolderHead(state.generation + 1, nonce, len(new), "", TARGET, tuple(sent), "", settled, echoes)

            def create() -> None:
                if name not in self.heads or not rules.compares:
                    self.heads[name] = head, frozenset(new)

            try:
                world.apply(create)
            except Lost:
                if self.heads.get(name, (None,))[0] is not head:
                    raise
            if self.heads[name][0] is not head or max(self.heads) != name:
                raise MirrorConflictError("")
        except Lost:
            self.note(own, sent, has_ended=True)
            raise
        except MirrorConflictError:
            again = f"{state.generation:08d}-{world.name()}.pending.gz"
            self.write(again, pending, changes)
            self.note(again, sent, has_ended=True)
            raise
        yield
        for each in settled if rules.cleans_unnamed_only else tuple(self.pending):
            self.pending.pop(each, None)
        self.release(nonce)
        while not world.are_indexed(sent):
            yield
        if self.state().generation == head.generation:
            self.confirmed = head.generation


def holds(store: type[Tables] | type[Files], seed: int, rules: Rules, turns: int = 250) -> bool:
    """Play one schedule, then two runs in peace; return whether audience and log are right by then."""
    chance = random.Random(seed)
    world = World(chance, rules)
    kept = store(world)
    alive: list[tuple[str, Run]] = []
    for turn in range(turns):
        world.tick()
        if len(alive) < 3 and chance.random() < (0.3 if not alive else 0.07):
            owners = sorted({owner for owner, _ in alive})
            # A second try beside the first, which Airflow believes dead; or another run.
            owner = chance.choice(owners) if owners and chance.random() < 0.7 else f"run {turn}"
            alive.append((owner, kept.run(owner)))
        if not alive:
            continue
        place = chance.randrange(len(alive))
        owner, run = alive[place]
        if chance.random() < 0.02:
            alive.pop(place)  # killed, and mostly tried again
            if chance.random() < 0.7:
                alive.append((owner, kept.run(owner)))
            continue
        try:
            next(run)
        except (StopIteration, Lost, MirrorConflictError, KeyError):
            alive.pop(place)
    alive.clear()
    world.settle()
    world.is_peaceful = True
    for number in range(2):
        for _ in kept.run(f"last {number}"):
            world.settle()
        world.settle()
    return world.members == world.source and kept.is_right()
