"""
One whole argument (``add_ids``, ``remove_ids`` or ``ids``) -> blocks of checked ids.

How early an invalid value is found, and at what cost, depends on the kind of argument. A collection is in memory
already: it is checked and deduplicated before the first call. What is whole from the start (a file) is checked whole
before the first call, and its ids are put aside meanwhile: to read it twice would be to download it twice, and it may
change in between. What is made while it is read (a generator, a query) is checked as it flows and never held; its first
block is read before the first call.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain, repeat
from typing import TypeAlias, Unpack, cast

from airflow_provider_batch.protocol.audiences.block import Block, gathered
from airflow_provider_batch.protocol.audiences.members import REMOVE_IDS, annotated, normalize
from airflow_provider_batch.protocol.dialect import MemberRules
from airflow_provider_batch.protocol.ids import AnnotatedId, doubt, joined_ids
from airflow_provider_batch.protocol.intake import Intake, IntakeParameters
from airflow_provider_batch.protocol.rows import Place, Rejection

#: Puts blocks of ids aside, and returns them in a form that can be read repeatedly.
PutAside = Callable[[Iterator[Block]], Iterable[Block]]


class MemberIntake(Intake):
    """
    The ids of one argument, with attributes and tags. While its blocks are read, it counts those that it leaves out.

    :param rules: what the version of the API accepts for a member.
    :param on_doubt: called once for each kind of valid ids that may be mistakes, with their number and first place.
    :param put_aside: keeps the checked ids of what can be read again, so that it is read once; by default in memory.
    :param parameters: the other parameters of :class:`~airflow_provider_batch.protocol.intake.Intake`.
    """

    def __init__(
        self,
        value: object,
        argument: str,
        *,
        rules: MemberRules,
        on_doubt: Callable[[str], object] | None = None,
        put_aside: PutAside = list,
        **parameters: Unpack[IntakeParameters],
    ) -> None:
        super().__init__(value, argument, **parameters)
        self.duplicates = 0
        self._rules = rules
        self._on_doubt = on_doubt
        self._put_aside = put_aside
        self._doubts: Counter[str] = Counter()
        self._first_doubts: dict[str, str] = {}
        #: Where the ids are once something was read: in a stream of which :meth:`begin` has read the first block, in
        #: memory, or put aside.
        self._begun: Iterator[Block] | None = None
        self._ids: Block | None = None
        self._aside: Iterable[Block] | None = None
        #: How many were put aside; 0 also for an empty stream.
        self._checked: int | None = None

    @property
    def rereadable(self) -> bool:
        """Whether the same values can be read again; a source declares it."""
        return self.is_held or getattr(self._values, "rereadable", not isinstance(self._values, Iterator))

    @property
    def restartable(self) -> bool:
        """Whether it can be read again from the start, even if other values may come, as from a query."""
        return self.rereadable or getattr(self._values, "restartable", False)

    @property
    def is_held(self) -> bool:
        """Whether all ids are in memory, as those of a checked collection are."""
        return self._ids is not None

    @property
    def total(self) -> int | None:
        """How many ids there are, if that is known before the last one is read."""
        return self._checked if self._ids is None else len(self._ids)

    def check(self) -> None:
        """
        Read all values once, if that does not use them up.

        :raises InvalidMemberError: for the first invalid value, unless such values are skipped.
        """
        if self.total is not None:
            return
        if isinstance(self._values, Collection):
            self.hold()
        elif self.rereadable:
            self._aside = self._put_aside(self._counted())

    def begin(self) -> None:
        """
        Read the first ids of what :meth:`check` did not read; :meth:`blocks` then starts with these.

        :raises InvalidMemberError: as :meth:`check`.
        """
        if self.total is None:
            blocks = self._full_blocks()
            first = next(filter(None, blocks), None)
            self._begun = chain(filter(None, [first]), blocks)
            if first is None:
                self._checked = 0

    def hold(self) -> None:
        """
        Read all values and keep each id once, so that their number is known.

        :raises InvalidMemberError: as :meth:`check`.
        """
        if self.is_held:
            return
        places: dict[str, int] = {}
        annotations: dict[str, str] | None = None
        given, plain = 0, True
        for block in self._read_blocks():
            if block.annotations is not None and annotations is None:
                annotations = dict.fromkeys(places, "")
            # The first of several places wins, and so does what annotates the id there.
            deque(map(places.setdefault, block.texts(), block.positions), maxlen=0)
            if annotations is not None:
                deque(map(annotations.setdefault, block.texts(), block.annotations or repeat("")), maxlen=0)
            given += len(block)
            plain &= block.plain
        self.duplicates = given - len(places)
        known = None if annotations is None else list(annotations.values())
        self._ids = Block(places, self.argument, list(places.values()), annotations=known, plain=plain)

    def blocks(self) -> Iterator[Block]:
        """Yield the ids in order, without empty blocks; a collection's once each, a stream's as they come."""
        if self._ids is not None:
            for start in range(0, len(self._ids), self._block_size):
                yield self._ids.part(start, start + self._block_size)
            return
        yield from filter(None, self._read_blocks())

    def _read_blocks(self) -> Iterable[Block]:
        """Return all blocks, those that were read already among them."""
        if self._aside is not None:
            return self._watched(self._aside)
        begun, self._begun = self._begun, None
        return self._full_blocks() if begun is None else begun

    def _counted(self) -> Iterator[Block]:
        checked = 0
        for block in self._full_blocks():
            checked += len(block)
            yield block
        self._checked = checked

    def _full_blocks(self) -> Iterator[Block]:
        # Some sources yield members a few at a time; a block as large as a chunk can be sent as it is.
        return gathered(self._checked_blocks(), self._block_size)

    def _checked_blocks(self) -> Iterator[Block]:
        self.rejected = 0
        self.rejections.clear()
        self._doubts.clear()
        start, removes = 0, self.argument == REMOVE_IDS
        for values, place in self.read():
            if (text := joined_ids(values, self._rules.max_id_length)) is not None:
                positions = range(start, start + len(values))
                plain = '"' not in text and "\\" not in text
                yield Block(cast(list[str], values), self.argument, positions, place, plain=plain)
            elif not removes and (members := annotated(values, self._rules)) is not None:
                ids, annotations = members
                positions = range(start, start + len(values))
                yield Block(ids, self.argument, positions, place, annotations=annotations)
            else:
                checked = dict(self._check_each(values, start, place))
                has_members = AnnotatedId in set(map(type, checked.values()))
                yield Block(checked.values(), self.argument, list(checked), place, annotated=has_members)
            start += len(values)
        self.report_doubts()

    def values(self) -> Iterator[tuple[int, object, Place | None]]:
        """Yield each raw value with its position, and the function that names it."""
        start = 0
        for values, place in self.read():
            for position, value in enumerate(values, start):
                yield position, value, place
            start += len(values)
        self.report_doubts()

    def normalized(self, value: object, *, removes: bool = False) -> str:
        """Return the id in *value*; see :func:`~airflow_provider_batch.protocol.audiences.members.normalize`."""
        return normalize(value, self._rules, removes=removes)

    def holding(self, ids: Block) -> MemberIntake:
        """Return this intake with the unique *ids* in place of its values."""
        self._ids = ids
        return self

    def _check_each(self, values: list[object], start: int, place: Place | None) -> Iterator[tuple[int, str]]:
        removes = self.argument == REMOVE_IDS
        for position, value in enumerate(values, start):
            try:
                id_ = normalize(value, self._rules, removes=removes)
            except ValueError as error:
                self.reject(position, value, place, str(error))
            else:
                self.note_doubt(id_, position, place)
                yield position, id_

    def note_doubt(self, id_: str, position: int, place: Place | None) -> None:
        """Count a valid id if it may be a mistake."""
        if kind := doubt(id_):
            if not self._doubts[kind]:
                where = Rejection(self.argument, position, kind, place(position) if place else "").where
                self._first_doubts[kind] = where
            self._doubts[kind] += 1

    def report_doubts(self) -> None:
        """Report the ids so far that may be mistakes; a second time does nothing."""
        if (on_doubt := self._on_doubt) is not None:
            self._on_doubt = None
            for kind, count in self._doubts.items():
                on_doubt(f"{self._name}: {kind}: {count:,}, the first at {self._first_doubts[kind]}")


#: Makes the intake of a value that was passed as an argument.
IntakeOf: TypeAlias = Callable[[object, str], MemberIntake]
