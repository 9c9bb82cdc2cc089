"""The values that travel through the package, all frozen. What may hold ids or keys hides it from ``repr``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from airflow_provider_batch.exceptions import BatchError, InvalidMemberError, TooManyRejectedError
from airflow_provider_batch.protocol.shares import most


@dataclass(frozen=True, slots=True)
class Request:
    """One call, without host, keys and identity headers."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = field(default=None, repr=False)
    #: The ids in the body: an error that quotes one must not be passed on as it is.
    members: Sequence[str] = field(default=(), repr=False)
    #: The audience that it is about, wherever its name stands in the call.
    audience_name: str = field(default="", repr=False, compare=False)

    @property
    def route(self) -> str:
        """What may be logged: the path still has ``{api_key}`` in the key's place."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Response:
    """Any answer of the server; header names are in lower case, the body may be cut at the transport's limit."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    #: Seconds since the epoch, for a Retry-After that names a date.
    received_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Sleep:
    """
    A wait of so many seconds.

    ``everyone`` says that nobody else of the same task should send meanwhile either; ``retries`` is the error after
    which a call is tried again.
    """

    seconds: float
    everyone: bool = False
    retries: BatchError | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Rejection:
    """
    One value that is no id: where it stands and why, not what it is.

    ``position`` counts from 0; ``place`` is what its source calls that place, such as ``ids.csv, line 17``.
    """

    argument: str
    position: int
    reason: str
    place: str = ""

    @property
    def where(self) -> str:
        """The place in words."""
        return f"{self.argument}[{self.position}]" + (f" ({self.place})" if self.place else "")

    def error(self, audience_name: str) -> InvalidMemberError:
        """Return what is raised where such a value is not to be skipped."""
        return InvalidMemberError(
            f"{audience_name}: {self.where}: {self.reason}",
            argument=self.argument,
            position=self.position,
            reason=self.reason,
        )


@dataclass(frozen=True, slots=True)
class Member:
    """
    An id with what Batch is to know about it in one audience.

    ``attributes`` and ``tags`` are for the versions of the API that take them; without them a Member is the same as
    its id alone. Values may be str, int, float, Decimal, datetime, date, and lists of them where arrays are allowed.
    """

    id: object = field(repr=False)
    attributes: Mapping[str, object] | None = field(default=None, repr=False)
    tags: Sequence[str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class BadRow:
    """What a source gives in place of a value that it cannot read; the ids' check refuses it with this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """One value of a stream of changes: what is to be done with it."""

    action: Literal["add", "remove"]
    value: object = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rows:
    """Values of a source in their order; ``place`` says where the n-th of them stands, such as ``ids.csv, line 17``."""

    values: list[object] = field(repr=False)
    place: Callable[[int], str] = field(repr=False, compare=False)


#: Why a change is refused that says to do anything else.
NO_ACTION: Final = "the action is neither 'add' nor 'remove'"

#: The argument whose ids are taken out of the audience; those of every other argument are put in.
REMOVE_IDS: Final = "remove_ids"


class AnnotatedId(str):
    """
    An id, and what goes beside it: ``extras`` is the JSON of its attributes and tags, without the braces around it.

    It is equal to its id alone: an id is in an audience once, whatever is known about it.
    """

    __slots__ = ("extras",)
    extras: str

    def __new__(cls, id_: str, extras: str) -> AnnotatedId:
        self = str.__new__(cls, id_)
        self.extras = extras
        return self


class Block(list[str]):
    """
    Ids of one argument, and where they stand in it; a list, so that going over it costs nothing more.

    :param positions: counted from 0, one for each id.
    :param place: what the source calls a position; None where it has no name of its own.
    :param annotated: whether some of the ids are annotated.
    """

    def __init__(
        self,
        ids: Iterable[str],
        argument: str,
        positions: Sequence[int],
        place: Callable[[int], str] | None = None,
        *,
        annotated: bool = False,
    ) -> None:
        super().__init__(ids)
        self.argument = argument
        self.positions = positions
        self.place = place
        self.annotated = annotated

    @property
    def removes(self) -> bool:
        """Whether the ids are to be removed."""
        return self.argument == REMOVE_IDS

    def only(self, keep: Callable[[str], bool]) -> Block:
        """Return the ids that are to be kept."""
        kept = [(id_, position) for id_, position in zip(self, self.positions, strict=True) if keep(id_)]
        return Block(
            (id_ for id_, _ in kept),
            self.argument,
            [position for _, position in kept],
            self.place,
            annotated=self.annotated,
        )

    def rejection(self, index: int, reason: str) -> Rejection:
        """Return that the id at *index* is refused, by its place in the source and not by its name."""
        position = self.positions[index]
        return Rejection(self.argument, position, reason, self.place(position) if self.place else "")


@dataclass(frozen=True, slots=True)
class Chunk:
    """
    The ids of one call; numbers count from 1.

    ``origins`` are the blocks that they were taken from, for whoever has to say where an id came from.
    """

    number: int
    add_ids: Sequence[str] = field(repr=False)
    remove_ids: Sequence[str] = field(repr=False)
    origins: tuple[Block, ...] = field(default=(), repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.add_ids) + len(self.remove_ids)

    def halves(self) -> tuple[Chunk, Chunk]:
        """Return the first and the second half of the ids."""
        middle = len(self) // 2
        adds, removes = self.add_ids, self.remove_ids
        cut = max(0, middle - len(adds))
        return (
            replace(self, add_ids=adds[:middle], remove_ids=removes[:cut]),
            replace(self, add_ids=adds[middle:], remove_ids=removes[cut:]),
        )

    def of(self, parts: Sequence[Chunk]) -> Chunk:
        """Return the chunk with no more ids than *parts* have."""
        return replace(
            self,
            add_ids=[id_ for part in parts for id_ in part.add_ids],
            remove_ids=[id_ for part in parts for id_ in part.remove_ids],
        )

    def rejection(self, reason: str) -> Rejection:
        """Return that the one id of this chunk was refused."""
        (id_,) = (*self.add_ids, *self.remove_ids)
        removes = bool(self.remove_ids)
        origin = next(block for block in self.origins if block.removes is removes and id_ in block)
        return origin.rejection(origin.index(id_), reason)

    @property
    def annotated(self) -> bool:
        """Whether some of the ids may be annotated."""
        return any(block.annotated for block in self.origins)


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    Batch accepted a chunk: how many ids, and the token to ask for its state with.

    A chunk that Batch refused as a whole, but not in parts, has a token for each part, and ``refused`` ids.
    ``fingerprint`` is a digest of what was sent so far, up to this chunk. ``earlier``: it was in an earlier try.
    """

    number: int
    added: int
    removed: int
    indexing_tokens: tuple[str, ...]
    fingerprint: str = ""
    refused: tuple[Rejection, ...] = ()
    earlier: bool = False

    @property
    def whole(self) -> bool:
        """Whether one call took all of the chunk."""
        return len(self.indexing_tokens) == 1 and not self.refused


class IndexingState(StrEnum):
    """How far Batch is with a write: https://doc.batch.com/api/custom-audience/1.0/get/"""

    IN_PROGRESS = "IN_PROGRESS"
    APPLIED = "APPLIED"
    #: A later replace took over. Only CEP pages name it; whether the write was ever applied, none says.
    REPLACED = "REPLACED"
    #: A word that no page names: never taken for success.
    UNKNOWN = "UNKNOWN"

    @property
    def finished(self) -> bool:
        """Whether asking again cannot change the answer."""
        return self in (IndexingState.APPLIED, IndexingState.REPLACED)


@dataclass(frozen=True, slots=True)
class CustomAudience:
    """
    An audience as Batch's view or list shows it; a field is None where the answer left it out.

    ``created`` and ``updated`` are in UTC. ``nb_ids`` probably counts the ids that were uploaded, not the users
    they match: no page says which. ``reported_state`` is Batch's own word behind ``indexing_state``, which the lists of
    the older platform do not tell.
    """

    name: str
    type: str | None
    description: str | None
    nb_ids: int | None
    created: datetime | None
    updated: datetime | None
    indexing_state: IndexingState | None
    reported_state: str

    @property
    def is_indexed(self) -> bool:
        """Whether asking again cannot change the state."""
        return self.indexing_state is not None and self.indexing_state.finished

    def to_dict(self) -> dict[str, Any]:
        """Return the view in JSON's types, for an XCom or a trigger's event."""
        return {
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "nb_ids": self.nb_ids,
            "created": self.created.isoformat() if self.created else None,
            "updated": self.updated.isoformat() if self.updated else None,
            "indexing_state": self.indexing_state.value if self.indexing_state else None,
        }


@dataclass(frozen=True, slots=True)
class AudiencePage:
    """A part of a list of audiences; ``next_start`` asks for the part after it, None if there is none."""

    audiences: tuple[CustomAudience, ...]
    next_start: int | str | None


@dataclass(frozen=True, slots=True)
class CreatedAudience:
    """
    The audience is there. ``created`` is False if it was there before; then ``existing`` is how the list shows it.

    ``indexing_token`` is there where Batch gave one: the newer platform does, the older one does not.
    """

    name: str
    type: str
    created: bool
    indexing_token: str | None = None
    existing: CustomAudience | None = None


@dataclass(frozen=True, slots=True)
class DeletedAudience:
    """The audience is gone; ``deleted`` is False if it was not there. Not every version gives an ``indexing_token``."""

    name: str
    deleted: bool
    indexing_token: str | None = None


@dataclass(frozen=True, slots=True)
class PushResult:
    """
    What a push did. Of the values given, each is in exactly one of four counts.

    ``added`` and ``removed`` were sent; ``duplicates`` were given again or are also removed; ``rejected`` are no
    ids and were skipped, the first of them named in ``rejections``. ``indexing_tokens`` has one token a call, in
    the order of the chunks; ``earlier_calls`` of them are from an earlier try of the same push. A dry run has none, but
    ``planned_calls``.
    """

    audience_name: str
    audience_type: str
    indexing_tokens: list[str]
    added: int
    removed: int
    duplicates: int
    rejected: int
    rejections: tuple[Rejection, ...]
    seconds: float
    earlier_calls: int = 0
    planned_calls: int | None = None

    @property
    def calls(self) -> int:
        """How many calls Batch accepted, or would have been asked to."""
        return len(self.indexing_tokens) if self.planned_calls is None else self.planned_calls

    @property
    def given(self) -> int:
        """How many values there were."""
        return self.added + self.removed + self.duplicates + self.rejected

    def check_rejected(self, max_rejected: float | None) -> None:
        """
        Return if not too many values were rejected.

        :param max_rejected: a count, or a share of all values given if it is a float; None for any number.
        :raises TooManyRejectedError: otherwise; what was not rejected has been sent.
        """
        allowed = most(max_rejected, self.given)
        if allowed is not None and self.rejected > allowed:
            raise TooManyRejectedError(
                f"{self.audience_name}: {self.rejected:,} of {self.given:,} values were rejected, more than "
                f"max_rejected={max_rejected}; the others were sent. First: {self.summary()['rejections'][0]}"
            )

    def counts(self) -> dict[str, Any]:
        """Return the counts alone, in JSON's types."""
        summary = self.summary()
        names = ("audience", "type", "added", "removed", "duplicates", "rejected", "calls")
        return {name: summary[name] for name in names}

    def summary(self) -> dict[str, Any]:
        """Return the counts in JSON's types, without ids and tokens."""
        return {
            "audience": self.audience_name,
            "type": self.audience_type,
            **({} if self.planned_calls is None else {"dry_run": True}),
            "added": self.added,
            "removed": self.removed,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
            "rejections": [f"{rejection.where}: {rejection.reason}" for rejection in self.rejections],
            "calls": self.calls,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class MirrorResult(PushResult):
    """
    What a run of a mirror did; ``removed`` counts ids that are not among the given ones any more.

    ``unchanged`` ids were not sent; ``members`` is how many the audience has by what this and earlier runs sent;
    ``replaced`` says that the audience was replaced as a whole.
    """

    unchanged: int = 0
    members: int = 0
    replaced: bool = False

    @property
    def given(self) -> int:
        """How many values there were."""
        return self.added + self.unchanged + self.duplicates + self.rejected

    def summary(self) -> dict[str, Any]:
        """Return the counts in JSON's types, without ids and tokens."""
        more = {"unchanged": self.unchanged, "members": self.members, "replaced": self.replaced}
        return PushResult.summary(self) | more  # a class with slots has no super() of no arguments


@dataclass(frozen=True, slots=True)
class IndexingOutcome:
    """
    The end of a wait: ``pending`` tokens were not confirmed in time, ``replaced`` ones were superseded.

    ``audience`` is the last view that Batch gave; ``last_error`` tells why the last question had no answer.
    """

    audience: CustomAudience | None
    pending: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    last_error: str | None = None
