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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, islice, repeat
from typing import Final, TypeVar, cast

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.arguments import OnInvalidId, check_choice, list_in_text
from airflow_provider_batch.protocol.audiences.block import Block, gathered
from airflow_provider_batch.protocol.audiences.members import (
    REMOVE_IDS,
    AnnotatedId,
    annotated,
    doubt,
    joined,
    normalize,
)
from airflow_provider_batch.protocol.dialect import MemberRules
from airflow_provider_batch.protocol.rows import NAMED_REJECTIONS, OnRejection, Place, Rejection, Rows

T = TypeVar("T")

#: Puts blocks of ids aside, and returns them in a form that can be read repeatedly.
PutAside = Callable[[Iterator[Block]], Iterable[Block]]

#: Types that can be iterated, but not into ids.
_NOT_IDS: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (Mapping, "a dict is not a list of ids. Pass one of its values, or list(…) of its keys."),
    ((bytes, bytearray, memoryview), "bytes are not a list of ids. Decode and split them first."),
)
_SKIP: Final = "Or pass on_invalid_id='skip'."


class Intake:
    """
    The values of one argument. While its blocks are read, it counts the values that it leaves out.

    :param value: an iterable of raw values, a source (which has ``blocks``), a list as text, or None.
    :param audience_name: for errors about single values.
    :param rules: what the version of the API accepts for a member.
    :param block_size: the most values in one block.
    :param on_rejection: called with each value that is skipped.
    :param checkpoint: called for each block of values; what it raises ends the reading.
    :param on_doubt: called once for each kind of valid ids that may be mistakes, with their number and first place.
    :param put_aside: keeps the checked ids of what can be read again, so that it is read once; by default in memory.
    """

    def __init__(
        self,
        value: object,
        argument: str,
        *,
        audience_name: str,
        rules: MemberRules,
        block_size: int,
        on_invalid_id: OnInvalidId = "fail",
        on_rejection: OnRejection | None = None,
        checkpoint: Callable[[], None] | None = None,
        on_doubt: Callable[[str], object] | None = None,
        put_aside: PutAside = list,
    ) -> None:
        self.argument = argument
        self._audience_name = audience_name
        self.duplicates = 0
        self.rejected = 0
        self.rejections: list[Rejection] = []
        self._rules = rules
        self._block_size = block_size
        check_choice("on_invalid_id", on_invalid_id)
        self._skip = on_invalid_id == "skip"
        self._on_rejection = on_rejection
        self._checkpoint = checkpoint
        self._on_doubt = on_doubt
        self._put_aside = put_aside
        self._doubts: Counter[str] = Counter()
        self._first_doubts: dict[str, str] = {}
        self._values = _iterable(value, argument)
        self._begun: Iterator[Block] | None = None
        self._ids: Block | None = None
        self._aside: Iterable[Block] | None = None
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
            blocks = self._normalized()
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
        return self._normalized() if begun is None else begun

    def _counted(self) -> Iterator[Block]:
        checked = 0
        for block in self._normalized():
            checked += len(block)
            yield block
        self._checked = checked

    def _normalized(self) -> Iterator[Block]:
        # Some sources yield members a few at a time. A full block can be sent as it is.
        return gathered(self._checked_blocks(), self._block_size)

    def _checked_blocks(self) -> Iterator[Block]:
        self.rejected = 0
        self.rejections.clear()
        self._doubts.clear()
        start, removes = 0, self.argument == REMOVE_IDS
        for values, place in self.read():
            if (text := joined(values, self._rules.max_id_length)) is not None:
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

    def read(self) -> Iterator[tuple[list[object], Place | None]]:
        """Yield the values block by block, and the function that names their positions."""
        return self._watched(self._parts())

    def _watched(self, parts: Iterable[T]) -> Iterator[T]:
        for part in parts:
            if self._checkpoint is not None:
                self._checkpoint()
            yield part

    def _parts(self) -> Iterator[tuple[list[object], Place | None]]:
        blocks: Callable[[int], Iterator[Rows]] | None = getattr(self._values, "blocks", None)
        if blocks is None:
            for values in in_blocks(self._values, self._block_size):
                yield values, None
            return
        start = 0
        for rows in blocks(self._block_size):
            yield rows.values, partial(_placed, rows.place, start)
            start += len(rows.values)

    def values(self) -> Iterator[tuple[int, object, Place | None]]:
        """Yield each raw value with its position, and the function that names it."""
        start = 0
        for values, place in self.read():
            for position, value in enumerate(values, start):
                yield position, value, place
            start += len(values)
        self.report_doubts()

    def holding(self, ids: Block) -> Intake:
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

    def reject(self, position: int, value: object, place: Place | None, reason: str) -> None:
        """Skip and count an invalid value, or raise its error."""
        rejection = Rejection(self.argument, position, reason, place(position) if place else "")
        if not self._skip:
            raise rejection.error(self._audience_name, _SKIP)
        self.rejected += 1
        if len(self.rejections) < NAMED_REJECTIONS:
            self.rejections.append(rejection)
        if self._on_rejection is not None:
            self._on_rejection(rejection, value)

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
                on_doubt(f"{self._audience_name}: {kind}: {count:,}, the first at {self._first_doubts[kind]}")


def _placed(place: Place, start: int, position: int) -> str:
    return place(position - start)


def in_blocks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield *values* in lists of *size*, the last one shorter."""
    iterator = iter(values)
    while block := list(islice(iterator, size)):
        yield block


def _iterable(value: object, argument: str) -> Iterable[object]:
    if value is None:
        return ()
    if isinstance(value, Iterable) and hasattr(value, "blocks"):  # a source, which has checked its arguments
        return value
    if isinstance(value, str):
        return list_in_text(value, argument)
    for kinds, reason in _NOT_IDS:
        if isinstance(value, kinds):
            raise InvalidArgumentError(f"{argument}: {reason}")
    if hasattr(value, "readline"):
        raise InvalidArgumentError(
            f"{argument}: the lines of an open file end in line breaks. Pass (line.rstrip('\\n') for line in file)."
        )
    # A data frame, which would yield the names of its columns. (A database result has a method `columns`.)
    if not callable(getattr(value, "columns", callable)):
        raise InvalidArgumentError(
            f"{argument}: a table is not a list of ids. Pass its id column, such as frame['id']."
        )
    if not isinstance(value, Iterable):
        raise InvalidArgumentError(f"{argument}: {type(value).__name__} is not a list of ids. Pass a list of str.")
    return value
