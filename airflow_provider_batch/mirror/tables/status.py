"""
What is known of a mirror in tables, and of single ids; read with SELECT alone.

A mirror in a folder keeps the set before the last one. Tables keep the base instead: it is an earlier set too, of some
generations ago. Of what came and went in between, only the log has the times.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from airflow_provider_batch.mirror.claim import LIFETIME
from airflow_provider_batch.mirror.status import Generation, IdStatus, MirrorStatus
from airflow_provider_batch.mirror.tables.database import AbsentTableError, Database, Session
from airflow_provider_batch.mirror.tables.head import Claim, State, conflict, table_of
from airflow_provider_batch.mirror.tables.keeper import Keeper
from airflow_provider_batch.mirror.tables.statements import schema_prefix
from airflow_provider_batch.mirror.tries import Unfinished
from airflow_provider_batch.protocol.rows import in_blocks

_HEAD: Final = re.compile(r"(batch_.*_[0-9a-f]{8})_head")

#: Ids in one query.
_ASKED: Final = 200


def read_status(database: Database, keeper: Keeper, ids: Iterable[str] = (), *, now: float) -> MirrorStatus:
    """
    Read what is known of a mirror, and of *ids*; see :func:`.status.read_status`.

    :param now: seconds since the epoch.
    :raises SnapshotError: if the head cannot be read.
    :raises MirrorConflictError: if a run changed the mirror while it was read.
    """
    with database.session() as session:
        head = keeper.read(session)
        state = head.state if head else State()
        try:
            known = dict(_id_statuses(session, keeper, state, list(dict.fromkeys(ids))))
        except AbsentTableError:
            again = keeper.read(session)
            if head and again and again.version == head.version:
                raise
            raise conflict() from None  # a run has dropped what it does not need any more
    sizes = {True: 0, False: 0}
    for one in _counted(state):
        sizes[one.is_rejection] += one.pending.count
    return MirrorStatus(
        state.target.audience if state.target else "",
        state.target.type if state.target else "",
        tuple(_generations(state)),
        state.members is not None and head is not None and head.is_confirmed,
        sizes[False],
        sizes[True],
        _owner(state.claim, now),
        known,
    )


def mirrors_in(database: Database, schema: str) -> list[str]:
    """
    Return what the names of the tables of each mirror in a schema begin with.

    :raises SourceError: if the catalogue cannot be read.
    """
    return sorted(found[1] for table in _catalogue(database, schema) if (found := _HEAD.fullmatch(table)))


def tables_in(database: Database, keeper: Keeper) -> list[str]:
    """
    Return what the names of a mirror's tables end in, whether the head names them or not.

    :raises SourceError: as :func:`mirrors_in`.
    """
    ours = re.compile(rf"{re.escape(keeper.name.lower())}_(head|log|[a-z][0-9a-f]{{12}})")
    return [found[1] for table in _catalogue(database, keeper.schema) if (found := ours.fullmatch(table))]


def _catalogue(database: Database, schema: str) -> Iterator[str]:
    """Yield the names of the tables in a schema, in lower case."""
    *catalogue, name = schema.split(".")
    with database.session() as session:
        dialect = session.dialect
        query = dialect.catalogue.format(
            schema=schema_prefix(schema, dialect),
            catalog=schema_prefix(".".join(catalogue), dialect),
            name=_literal(name.lower()),
            exact_name=_literal(name),
            path=_literal(schema.lower()),
        )
        tables = session.rows(query, what="SELECT of the schema's tables", reads_rows=False)
    yield from (str(table).lower() for (table,) in tables)


def _literal(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _counted(state: State) -> list[Unfinished]:
    """Return the tries by which ids are uncertain, or rejected: those that a later try may have sent again are not."""
    last = max((place for place, one in enumerate(state.tries) if not one.is_rejection), default=-1)
    return [one for place, one in enumerate(state.tries) if not one.is_rejection or place > last]


def _generations(state: State) -> Iterator[Generation]:
    if state.members is None:
        return
    yield Generation(state.generation, state.members, _time(state.written_at))
    if state.base_generation < state.generation:
        yield Generation(state.base_generation, state.base_count, _time(state.based_at))


def _id_statuses(session: Session, keeper: Keeper, state: State, ids: list[str]) -> Iterator[tuple[str, IdStatus]]:
    if not ids:
        return

    def ops(name: str | None, op: str = "d.op") -> dict[str, str]:
        return _ops(session, keeper.table(session, name), ids, op) if name else {}

    base, net = ops(state.base, "'+'"), ops(state.net)
    sets = {state.base_generation: base, state.generation: {**base, **net}}
    sent: dict[bool, set[str]] = {True: set(), False: set()}
    for one in _counted(state):
        sent[one.is_rejection] |= {id_ for id_, op in ops(table_of(one)).items() if op in "+-"}
    for id_ in ids:
        generations = [number for number, found in sets.items() if found.get(id_) == "+"]
        yield id_, IdStatus(tuple(sorted(generations, reverse=True)), id_ in sent[False], id_ in sent[True])


def _ops(session: Session, table: str, ids: list[str], op: str) -> dict[str, str]:
    """Return what a table has for each of the *ids* that is in it."""
    dialect, found = session.dialect, dict[str, str]()
    key = dialect.as_key(dialect.placeholder)
    for part in in_blocks(ids, _ASKED):
        query = f"SELECT {dialect.as_text('d.id')} AS id, {op} AS op FROM {table} d WHERE d.id IN "
        rows = session.rows(f"{query}({', '.join([key] * len(part))})", part)
        found.update((str(id_), str(op)) for id_, op in rows)
    return found


def _owner(claim: Claim | None, now: float) -> str | None:
    return claim.owner if claim and now - claim.renewed <= LIFETIME else None


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
