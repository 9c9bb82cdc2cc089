"""
The statements of a run. What differs between databases is in their dialects.

The source is read once, in the statement that finds what changed (or, without FULL JOIN, in the one that stages it).
Only joins compare: NOT IN knows no NULL, and EXCEPT drops duplicates. The query stands as it is given, between brackets
of which the closing one has a line of its own, as the query may end in a comment.

Nearly all ids are unchanged, so what is done for each of them decides what a run costs. With FULL JOIN, and without
attributes, that is one join: of all rows of the source, repetitions too, with the snapshot, where an id is once. Only
what is not unchanged is grouped by its id. Of the unchanged ids the join leaves the number of their rows; how many ids
they are, the head knows: as many as were sent, without those that moved. With attributes, the ids of the source are
grouped before, as one row of each has to be chosen.

A relation is one letter, the same in all statements::

    q       the query as it is given        v, w    its rows with digest and place among those of one id
    t       what it has today               s, k    what was sent before
    u       what may have been sent since   y, z    the same while it is collected; ids that were rejected before
    c       rows of all of them, joined     d       the table of changes
    b       the base                        e       the net
    x       ids that are not valid, or were rejected
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from airflow_provider_batch.mirror.tables.changes import KIND, KIND_IF_UNKNOWN
from airflow_provider_batch.mirror.tables.dialect import Dialect

#: A semicolon after which nothing but comments follow.
_END: Final = re.compile(r";\s*(?:(?:--|#)[^\n]*(?:\n\s*|$)|/\*.*?\*/\s*|;\s*)*$", re.DOTALL)

#: What may have a semicolon, or quotes, that mean nothing.
_OPAQUE: Final = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/""", re.DOTALL)

#: What begins and ends such a text.
_MARK: Final = re.compile(r"""['"`]|\$\w*\$""")

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Query:
    """
    The user's query, and which of its columns are read.

    :param id: the name of the column with the ids.
    :param others: the names of the columns with attributes and tags.
    :param most: the characters that an id may have.
    :param digested: in place of the other columns, the snapshot has a digest of these, and flags; None if it has the
        columns.
    :param flagged: for each name with a flag the column that has its value; None if the query has none.
    :param deletes: whether a missing value deletes the attribute.
    :param exact: for the names of some columns: how their values are made that the driver returns; see the dialect.
    """

    sql: str
    id: str
    others: tuple[str, ...]
    most: int
    digested: tuple[str, ...] | None = None
    flagged: tuple[str | None, ...] = ()
    deletes: bool = False
    exact: Mapping[str, str] = field(default_factory=dict)

    def staged(self, table: str, places: Mapping[str, int]) -> Query:
        """Return the query for its rows in *table*, where the names of the columns are those of their places."""
        names = {name: _staged_name(place) for name, place in places.items()}
        digested = None if self.digested is None else tuple(names[name] for name in self.digested)
        return replace(
            self,
            sql=f"SELECT * FROM {table}",
            id=names[self.id],
            others=tuple(names[name] for name in self.others),
            digested=digested,
            flagged=tuple(name and names[name] for name in self.flagged),
        )


def staging(table: str, width: int) -> str:
    """Return the statement that makes a table of so many columns without a type."""
    return f"CREATE TABLE {table} ({', '.join(map(_staged_name, range(width)))})"


def _staged_name(place: int) -> str:
    return f"c{place}"


def never_accepted(refused: Sequence[str]) -> tuple[str, str]:
    """
    Return the condition that Batch has not accepted an id of the changes yet, and before it the joins that it needs.

    :param refused: the tables of the ids of which Batch rejected a write when they were last sent: the snapshot may
        have those that it has not got, and has not those that it was to remove.
    """
    # Each by itself: their union would have no index.
    found = {f"y{number}": table for number, table in enumerate(refused)}
    joins = "".join(f" LEFT JOIN {table} {name} ON {name}.id = d.id" for name, table in found.items())
    known = f"COALESCE({', '.join([f'{name}.o' for name in reversed(found)] + ['d.o'])})" if found else "d.o"
    return joins, f"{known} = 0"


def bare(sql: str) -> str:
    """Return the query without the semicolon at its end."""
    found = _END.search(sql)
    while found and _is_opaque(found[0], sql[: found.start()]):
        found = _END.search(sql, found.start() + 1)
    return sql[: found.start()] if found else sql


def _is_opaque(end: str, before: str) -> bool:
    """Whether what looks like the end is in a literal or a comment: then one is open *before* it, and closed in it."""
    left = _OPAQUE.sub("", before)
    return bool(_MARK.search(end) and _MARK.search(left)) or ("*/" in end and "/*" in left)


def schema_prefix(schema: str, dialect: Dialect) -> str:
    """Return what stands before the name of a table in *schema*, which may have parts."""
    return "".join(
        f"{part if _PLAIN_NAME.fullmatch(part) else quoted(part, dialect)}." for part in schema.split(".") if part
    )


def quoted(name: str, dialect: Dialect) -> str:
    """Return the name of a column, or of a part of a schema, in quotes."""
    mark = dialect.quote
    return f"{mark}{name.replace(mark, mark * 2)}{mark}"


#: The column with the digest of a row, and that with the flags of what was ever set; see the module flags.
_DIGEST: Final = "digest"
_FLAGS: Final = "flags"

#: Of a changed row: the flags of its own values, and of what was set, or may have been, before.
_OWN: Final = "own"
_BEFORE: Final = "had"


class Statements:
    """
    The statements for one query.

    A row has the same columns wherever it is, unless its digest is kept: then base and net have nothing else but flags,
    and only the changes that the worker reads have both.
    """

    def __init__(self, dialect: Dialect, query: Query) -> None:
        self._dialect = dialect
        self._query = query
        self._names = [f"a{number}" for number in range(len(query.others))]
        self._kept = self._names if query.digested is None else [_DIGEST]
        self._has_flags = query.digested is not None

    @property
    def pools_unchanged(self) -> bool:
        """Whether all unchanged rows are one row of the changes, without an id, and not each id that is repeated."""
        return self._dialect.full_join and not self._kept

    def cast(self) -> str:
        """Return the query for some ids as the driver reads them, and as they are compared."""
        text = self._dialect.as_text(self._key)
        raw = self._column(self._query.id)
        return f"SELECT {raw}, {text} FROM (\n{self._query.sql}\n) q WHERE {raw} IS NOT NULL LIMIT 100"

    def _column(self, name: str) -> str:
        """Return a column of the query."""
        return f"q.{quoted(name, self._dialect)}"

    def _value(self, name: str) -> str:
        """Return the value of a column of the query, as the driver returns it."""
        return self._query.exact.get(name, "{}").format(self._column(name))

    @property
    def _key(self) -> str:
        """The key of that id; NULL if its value cannot be an id."""
        value, odd = self._value(self._query.id), self._dialect.odd
        key = self._dialect.as_key(value)
        return f"CASE WHEN {odd.format(value)} THEN NULL ELSE {key} END" if odd else key

    def today(self) -> str:
        """
        Return the query for the distinct ids, how often each is there, and the attributes of one of its rows.

        If the unchanged ones are pooled, it is that for the ids of all rows.
        """
        query, dialect, key = self._query, self._dialect, self._key
        if query.digested is not None:
            return self._digested_today(key, query.digested)
        if self.pools_unchanged:
            return f"SELECT {key} AS id, 1 AS n FROM (\n{query.sql}\n) q"
        if not query.others:
            return f"SELECT {key} AS id, COUNT(*) AS n FROM (\n{query.sql}\n) q GROUP BY {key}"
        columns = list(map(self._value, query.others))
        named = "".join(f", {column} AS {name}" for column, name in zip(columns, self._names, strict=True))
        order = ", ".join(dialect.same.format(dialect.kept.format(column)) for column in columns)
        same_id = dialect.partition.format(key)
        return (
            f"SELECT w.id, w.n{self._columns('w.')} FROM (SELECT {key} AS id, "
            f"COUNT(*) OVER (PARTITION BY {same_id}) AS n, "
            f"ROW_NUMBER() OVER (PARTITION BY {same_id} ORDER BY {order}) AS place{named} FROM (\n{query.sql}\n) q) w "
            "WHERE w.place = 1"
        )

    def _digested_today(self, key: str, digested: tuple[str, ...]) -> str:
        dialect = self._dialect
        same_id = dialect.partition.format("v.id")
        parts = [dialect.part.format(self._column(name)) for name in digested]
        digest = dialect.as_digest(["''", *parts])
        named = "".join(
            f", {self._value(column)} AS {name}" for column, name in zip(self._query.others, self._names, strict=True)
        )
        return (
            f"SELECT w.id, w.n{self._whole('w.')}, w.{_OWN} FROM (SELECT v.id, "
            f"COUNT(*) OVER (PARTITION BY {same_id}) AS n, "
            f"ROW_NUMBER() OVER (PARTITION BY {same_id} ORDER BY v.{_DIGEST}) AS place{self._whole('v.')}, "
            f"v.{_OWN} FROM (SELECT {key} AS id, {digest} AS {_DIGEST}, {self._own_flags()} AS {_OWN}{named} FROM "
            f"(\n{self._query.sql}\n) q) v) w WHERE w.place = 1"
        )

    def _own_flags(self) -> str:
        """Return the flags of the values of a row of the query."""
        is_missing = self._dialect.missing
        return self._dialect.joined(
            [
                "''",
                *(
                    "'0'"
                    if column is None
                    else f"CASE WHEN {is_missing.format(self._column(column))} THEN '0' ELSE '1' END"
                    for column in self._query.flagged
                ),
            ]
        )

    def _union(self, *flags: str, but_own: bool = False) -> str:
        """
        Return the flags that are 1 in any of *flags*.

        :param but_own: of the columns that the query has, only the first of *flags* count.
        """
        are_set = []
        for place, column in enumerate(self._query.flagged, 1):
            counted = flags[:1] if but_own and column is not None else flags
            are_set.append(" OR ".join(f"SUBSTR({each}, {place}, 1) = '1'" for each in counted))
        return self._flags_where(are_set)

    def _sum(self) -> str:
        """Return the flags that are 1 in any row of a group."""
        places = range(1, len(self._query.flagged) + 1)
        return self._flags_where(f"MAX(SUBSTR(z.{_FLAGS}, {place}, 1)) = '1'" for place in places)

    def _flags_where(self, conditions: Iterable[str]) -> str:
        """Return flags that are 1 where the condition in their place is true."""
        return self._dialect.joined(["''", *(f"CASE WHEN {each} THEN '1' ELSE '0' END" for each in conditions)])

    def _flags(self, expression: str, name: str = _FLAGS) -> str:
        return f", {expression} AS {name}" if self._has_flags else ""

    def _newly_kept(self) -> str:
        """Return the columns and flags that are kept of a changed row once Batch has accepted it."""
        columns = "".join(f", {self._as_kept('d.', name)} AS {name}" for name in self._kept)
        return columns + self._flags(self._union(f"d.{_OWN}", f"d.{_BEFORE}", but_own=self._query.deletes))

    def _changed_flags(self, before: str, own: str = f"t.{_OWN}") -> str:
        return self._flags(own, _OWN) + self._flags(before, _BEFORE)

    def known(self, base: str | None, net: str | None, *, with_attributes: bool = True) -> str | None:
        """Return the query for what was sent: the base, with the later changes in place of its own rows."""
        if base is None:
            return None
        ours, later = (self._snapshot_columns("b."), self._snapshot_columns("e.")) if with_attributes else ("", "")
        ours, later = ours + self._flags(f"b.{_FLAGS}"), later + self._flags(f"e.{_FLAGS}")
        if net is None:
            return f"SELECT b.id{ours} FROM {base} b"
        return (
            f"SELECT b.id{ours} FROM {base} b LEFT JOIN {net} e ON e.id = b.id WHERE e.id IS NULL "
            f"UNION ALL SELECT e.id{later} FROM {net} e WHERE e.op = '+'"
        )

    def changes(
        self,
        today: str,
        snapshot: tuple[str | None, str | None],
        uncertain: str,
        *,
        same_shape: bool,
        is_staged: bool = False,
    ) -> str:
        """
        Return the query for all that is not simply unchanged.

        Its columns are ``id``, ``n`` (how often it is in the source), ``o`` (whether it was sent), ``u`` (whether it
        is uncertain), ``op``, and the attributes, with digest and flags if these are kept. ``op`` is ``+`` to add,
        ``-`` to remove, ``=`` unchanged but repeated (or, if these are pooled, all that is unchanged), and ``!`` not a
        valid id.

        :param today: the query for what the source has.
        :param snapshot: the tables with what was sent: base and net.
        :param uncertain: the query for the ids that may have been sent since; empty if there are none.
        :param same_shape: whether the snapshot has the attributes of the source.
        :param is_staged: whether the two queries are for all rows of a table with an index.
        """
        known = self.known(*snapshot, with_attributes=same_shape)
        if self.pools_unchanged:
            return self._pooled(today, known, uncertain, same_shape)
        if known is None and not uncertain:
            op = self._dialect.plain.format(f"CASE WHEN {self._is_bad('t.id')} THEN '!' ELSE '+' END")
            columns = self._whole("t.") + self._changed_flags("''")
            return f"SELECT t.id, t.n, 0 AS o, 0 AS u, {op} AS op{columns} FROM (\n{today}\n) t"
        # No table of the user has such a name. In SQLite, a CTE hides a table of its name inside the query, too.
        if not self._dialect.full_join:
            start = "" if is_staged else self._dialect.start
            if not (is_staged or start):
                # SQLite makes an index for a join with a subquery, but for none of a table with one that it groups.
                snapshot = (_materialized(snapshot[0]), _materialized(snapshot[1]))
            ctes = f"WITH batch_t AS (\n{_with_start(today, start)}\n)"
            if uncertain:
                ctes += f", batch_u AS (\n{_with_start(uncertain, start)}\n)"
            return f"{ctes}\n{self._in_parts(*snapshot, bool(uncertain), same_shape, start)}"
        ctes = f"WITH batch_t AS (\n{today}\n)"
        if uncertain:
            ctes += f", batch_u AS (\n{uncertain}\n)"
        nothing = f"SELECT t.id{self._snapshot_columns('t.')}{self._flags(f't.{_OWN}')} FROM batch_t t WHERE 1 = 0"
        ctes += f", batch_s AS (\n{known or nothing}\n)"
        main = self._joined(bool(uncertain), same_shape)
        if uncertain:
            main += (
                f" UNION ALL SELECT u.id, 0, 0, 1, '-'{self._whole('t.')}{self._changed_flags(f'u.{_FLAGS}')} "
                "FROM batch_u u LEFT JOIN batch_t t ON t.id = u.id LEFT JOIN batch_s s ON s.id = u.id "
                "WHERE t.n IS NULL AND s.id IS NULL"
            )
        return f"{ctes}\n{main}"

    def uncertain(self, changes: Sequence[str]) -> str:
        """
        Return the query for the ids that tries may have sent, each once; empty if there was none.

        :param changes: the tables of their changes.
        """
        if not changes:
            return ""
        # Distinct, though a sum needs it not: otherwise each flag of the sum would be computed of all flags anew.
        sent = " UNION ALL ".join(
            f"SELECT DISTINCT y.id{self._flags(f'y.{_FLAGS}')} FROM ({self._sent(each)}) y" for each in changes
        )
        return f"SELECT z.id{self._flags(self._sum())} FROM ({sent}) z GROUP BY z.id"

    def _pooled(self, today: str, known: str | None, uncertain: str, same_shape: bool) -> str:
        rows, id_, is_known, is_uncertain = f"(\n{today}\n) t", "t.id", "1 = 0", "1 = 0"
        if known is not None:
            rows += f" FULL JOIN (\n{known}\n) s ON s.id = t.id"
            id_, is_known = "COALESCE(t.id, s.id)", "s.id IS NOT NULL"
        if uncertain:
            rows += f" FULL JOIN (\n{uncertain}\n) u ON u.id = {id_}"
            id_, is_uncertain = f"COALESCE({id_}, u.id)", "u.id IS NOT NULL"
        is_changed = f"t.n IS NULL OR NOT ({is_known}) OR {is_uncertain}" if same_shape else "1 = 1"
        o, u = (f"CASE WHEN {condition} THEN 1 ELSE 0 END" for condition in (is_known, is_uncertain))
        # What is missing is never known: a known row without an id is all that is unchanged.
        op = (
            "CASE WHEN COUNT(c.n) = 0 THEN '-' WHEN c.o = 1 THEN CASE WHEN c.id IS NULL THEN '=' ELSE '+' END "
            f"WHEN {self._is_bad('c.id')} THEN '!' ELSE '+' END"
        )
        return (
            f"SELECT c.id, COUNT(c.n) AS n, c.o, c.u, {op} AS op FROM (SELECT CASE WHEN {is_changed} THEN {id_} "
            f"ELSE NULL END AS id, t.n, {o} AS o, {u} AS u FROM {rows}) c GROUP BY c.id, c.o, c.u"
        )

    def _before(self, uncertain: bool, known: str = f"s.{_FLAGS}") -> str:
        flags = f"COALESCE({known}, '')"
        return self._changed_flags(self._union(flags, f"u.{_FLAGS}") if uncertain else flags)

    def _joined(self, uncertain: bool, same_shape: bool) -> str:
        join, is_uncertain, u = "", "1 = 0", "0"
        if uncertain:
            join = " LEFT JOIN batch_u u ON u.id = COALESCE(t.id, s.id)"
            is_uncertain, u = "u.id IS NOT NULL", _flag("u.id")
        changed = f"s.id IS NULL OR {is_uncertain}{self._differs(same_shape)}"
        return (
            f"SELECT COALESCE(t.id, s.id) AS id, COALESCE(t.n, 0) AS n, {_flag('s.id')} AS o, {u} AS u, "
            f"CASE WHEN t.n IS NULL THEN '-' ELSE {self._op(changed)} END AS op{self._whole('t.')}"
            f"{self._before(uncertain)} FROM batch_t t FULL JOIN batch_s s ON s.id = t.id{join} "
            f"WHERE t.n IS NULL OR t.n > 1 OR {changed}"
        )

    def _in_parts(self, base: str | None, net: str | None, uncertain: bool, same_shape: bool, start: str) -> str:
        """
        Return the query without FULL JOIN: what is there today, what has left base and net, and what is only uncertain.

        Each row is looked up in base and net themselves: their union would have no index.

        :param start: the part of an id that t and u have beside it, by which they are looked up; empty for the whole.
        """
        sent = _Sent(base, net)
        join_u, is_uncertain, u = "", "1 = 0", "0"
        if uncertain:
            join_u, is_uncertain, u = " LEFT JOIN batch_u u ON {}", "u.id IS NOT NULL", _flag("u.id")

        def on(sought: str, id_: str) -> str:
            """Return the condition by which a row of t or u is found."""
            same = f"{sought}.id = {id_}"
            return f"{sought}.start = {start.format(id_)} AND CASE WHEN {same} THEN 1 END = 1" if start else same

        def gone(table: str, joins: str, condition: str) -> str:
            id_ = f"{table}.id"
            return (
                f"SELECT {id_} AS id, 0 AS n, 1 AS o, {u} AS u, '-' AS op{self._whole('t.')}"
                f"{self._before(uncertain, f'{table}.{_FLAGS}')} FROM {joins} LEFT JOIN batch_t t ON {on('t', id_)}"
                f"{join_u.format(on('u', id_))} WHERE t.n IS NULL AND {condition}"
            )

        changed = f"NOT ({sent.is_known}) OR {is_uncertain}{self._differs(same_shape, sent)}"
        parts = [
            f"SELECT t.id AS id, t.n AS n, CASE WHEN {sent.is_known} THEN 1 ELSE 0 END AS o, {u} AS u, "
            f"{self._op(changed)} AS op{self._whole('t.')}{self._before(uncertain, sent.value(_FLAGS))} "
            f"FROM batch_t t{sent.joins('t')}{join_u.format(on('u', 't.id'))} WHERE t.n > 1 OR {changed}"
        ]
        if net:
            parts.append(gone("b", f"{base} b LEFT JOIN {net} e ON e.id = b.id", "e.id IS NULL"))
            parts.append(gone("e", f"{net} e", "e.op = '+'"))
        elif base:
            parts.append(gone("b", f"{base} b", "1 = 1"))
        if uncertain:
            parts.append(
                f"SELECT u.id AS id, 0 AS n, 0 AS o, 1 AS u, '-' AS op{self._whole('t.')}"
                f"{self._changed_flags(f'u.{_FLAGS}')} FROM batch_u u LEFT JOIN batch_t t ON {on('t', 'u.id')}"
                f"{sent.joins('u')} WHERE t.n IS NULL AND NOT ({sent.is_known})"
            )
        return " UNION ALL ".join(parts)

    def _op(self, changed: str) -> str:
        op = f"CASE WHEN {self._is_bad('t.id')} THEN '!' WHEN {changed} THEN '+' ELSE '=' END"
        return self._dialect.plain.format(op)

    def _is_bad(self, id_: str) -> str:
        text = self._dialect.as_text(id_)
        return f"{id_} IS NULL OR {text} = '' OR {self._dialect.length.format(text)} > {self._query.most}"

    def _differs(self, same_shape: bool, sent: _Sent | None = None) -> str:
        """
        Return the condition that a row has other attributes than what was sent.

        :param sent: the tables of that; None if it is the relation s.
        """
        if not same_shape:
            return " OR 1 = 1"
        same = self._dialect.same.format
        pairs = [
            (same(self._as_kept("t.", name)), same(sent.value(name) if sent else f"s.{name}")) for name in self._kept
        ]
        if self._query.digested is not None:  # one that could not be made is unlike any
            return "".join(f" OR CASE WHEN {ours} = {theirs} THEN 0 ELSE 1 END = 1" for ours, theirs in pairs)
        # Of the same expressions: a record of NULLs is NULL, but not missing.
        nulls = [f"(({ours}) IS NULL AND ({theirs}) IS NULL)" for ours, theirs in pairs]
        return "".join(
            f" OR CASE WHEN {ours} = {theirs} OR {null} THEN 0 ELSE 1 END = 1"
            for (ours, theirs), null in zip(pairs, nulls, strict=True)
        )

    def _as_kept(self, prefix: str, name: str) -> str:
        """Return a column of the query as base and net have it."""
        column = f"{prefix}{name}"
        return column if self._has_flags else self._dialect.kept.format(column)

    def read(self, relation: str, *, replaces: bool, repeated: bool) -> str:
        """
        Return the query for what is not unchanged.

        Each row has its id, the number of its kind, the attributes, and the flags of what was set before, if there are
        any; those of a kind stand together, in order.

        :param replaces: for the whole new set, whatever was sent.
        :param repeated: and for what is unchanged but repeated.
        """
        kind = KIND_IF_UNKNOWN if replaces else KIND
        where = "WHERE d.op <> '-' " if replaces else "" if repeated else "WHERE d.op <> '=' "
        return (
            f"SELECT {self._dialect.as_text('d.id')} AS id, {kind} AS kind{self._columns('d.')}"
            f"{self._flags(f'd.{_BEFORE}')} FROM {relation} d "
            # + 0: a column that DuckDB both sorts by and returns is decoded from the sort key, which takes longer.
            f"{where}ORDER BY {kind} + 0, d.id"
        )

    def repeated(self, relation: str) -> str:
        """Return the query for how many values of the source repeat an id that is unchanged."""
        return f"SELECT SUM(d.n - 1) FROM {relation} d WHERE d.op = '='"

    def create(self, table: str, query: str) -> str:
        """Return the statement that makes a table of ids."""
        return f"{self._dialect.create.format(table)}\n{query}"

    def corrected(self, changes: str, invalid: str | None) -> str:
        """
        Return the query for the changes as they are kept, without those ids to add that this package does not accept.

        :param invalid: the table of these ids, with what is to be done instead; None if there are none.
        """
        columns = self._snapshot_columns("d.") + self._changed_flags(f"d.{_BEFORE}", f"d.{_OWN}")
        if invalid is None:
            return f"SELECT d.id, d.n, d.o, d.u, d.op{columns} FROM {changes} d"
        return (
            f"SELECT d.id, d.n, d.o, d.u, CASE WHEN x.op IS NULL THEN d.op ELSE x.op END AS op{columns} "
            f"FROM {changes} d LEFT JOIN {invalid} x ON x.id = d.id"
        )

    def new_base(self, changes: str, known: str | None) -> str:
        """Return the query for all that will have been sent."""
        added = f"SELECT d.id{self._newly_kept()} FROM {changes} d WHERE d.op = '+'"
        if known is None:
            return added
        return (
            f"SELECT k.id{self._snapshot_columns('k.')}{self._flags(f'k.{_FLAGS}')} FROM ({known}) k "
            f"LEFT JOIN {changes} d ON d.id = k.id AND d.op IN ('+', '-') WHERE d.op IS NULL UNION ALL {added}"
        )

    def new_net(self, changes: str, net: str | None) -> str:
        """Return the query for all changes since the base."""
        moved = f"SELECT d.id, d.op{self._newly_kept()} FROM {changes} d WHERE d.op IN ('+', '-')"
        if net is None:
            return moved
        return (
            f"SELECT e.id, e.op{self._snapshot_columns('e.')}{self._flags(f'e.{_FLAGS}')} FROM {net} e "
            f"LEFT JOIN {changes} d ON d.id = e.id AND d.op IN ('+', '-') WHERE d.op IS NULL UNION ALL {moved}"
        )

    def ids(self, changes: str) -> str:
        """Return the query for the ids of a table, without rows."""
        return f"SELECT d.id, d.op, {self._dialect.string.format(repr(''))} AS why FROM {changes} d WHERE 1 = 0"

    def id_values(self) -> str:
        """Return the expressions for one row of a table made of :meth:`ids`."""
        return f"{self._dialect.as_key('{}')}, {{}}, {{}}"

    def _sent(self, changes: str) -> str:
        """Return the query for the ids that a try may have sent, with the flags of what may have been set by then."""
        flags = f"CASE WHEN d.op = '+' THEN {self._union(f'd.{_OWN}', f'd.{_BEFORE}')} ELSE d.{_BEFORE} END"
        return f"SELECT d.id{self._flags(flags)} FROM {changes} d WHERE d.op IN ('+', '-')"

    def rejected(self, changes: str, ids: str, refused: Sequence[str], *, replaces: bool) -> str:
        """
        Return the query for the rows of a table made of :meth:`ids`.

        It has whether Batch had accepted the id before (``o``), and its flags in the changes.

        :param refused: the tables of those rejected before.
        :param replaces: whether what was rejected is a new set: Batch has none of its ids.
        """
        flags = self._changed_flags(f"d.{_BEFORE}", f"d.{_OWN}")
        join, is_new = ("", "1 = 1") if replaces else never_accepted(refused)
        return (
            f"SELECT d.id, d.op, x.why, CASE WHEN {is_new} THEN 0 ELSE 1 END AS o{flags} "
            f"FROM {changes} d JOIN {ids} x ON x.id = d.id{join}"
        )

    def _columns(self, prefix: str) -> str:
        return _listed(prefix, self._names)

    def _snapshot_columns(self, prefix: str) -> str:
        return _listed(prefix, self._kept)

    def _whole(self, prefix: str) -> str:
        return _listed(prefix, dict.fromkeys([*self._names, *self._kept]))


def _listed(prefix: str, names: Iterable[str]) -> str:
    return "".join(f", {prefix}{name}" for name in names)


@dataclass(frozen=True, slots=True)
class _Sent:
    """What was sent, looked up in its two tables."""

    base: str | None
    net: str | None

    def joins(self, relation: str) -> str:
        """Return the joins that find the id of a relation in both."""
        tables = (("b", self.base), ("e", self.net))
        return "".join(f" LEFT JOIN {table} {name} ON {name}.id = {relation}.id" for name, table in tables if table)

    @property
    def is_known(self) -> str:
        """The condition that it was sent."""
        if self.net:
            return "CASE WHEN e.id IS NULL THEN b.id IS NOT NULL ELSE e.op = '+' END"
        return "b.id IS NOT NULL" if self.base else "1 = 0"

    def value(self, name: str) -> str:
        """Return one of its columns; NULL if the id was not sent."""
        if self.net:
            return f"CASE WHEN e.op = '+' THEN e.{name} WHEN e.id IS NULL THEN b.{name} END"
        return f"b.{name}" if self.base else "NULL"


#: With it, a subquery is evaluated by itself.
_LIMIT: Final = f"LIMIT {1 << 62}"


def _with_start(query: str, start: str) -> str:
    """Return the query with a column more, for the start of the id."""
    return f"SELECT k.*, {start.format('k.id')} AS start FROM (\n{query}\n) k {_LIMIT}" if start else query


def _materialized(table: str | None) -> str | None:
    return table and f"(SELECT * FROM {table} {_LIMIT})"


def _flag(id_: str) -> str:
    return f"CASE WHEN {id_} IS NULL THEN 0 ELSE 1 END"
