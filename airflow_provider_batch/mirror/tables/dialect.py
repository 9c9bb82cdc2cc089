"""
What differs between databases: a handful of values each.

What is kept true: two ids are the same only if their bytes are. Databases compare text by the rules of a language, or
of a column: without regard to case, accents, or blanks at the end. So an id is kept in a form that compares by its
bytes, which ``key`` makes of any column, and ``text`` turns back.

A hash would compare bytes as well, but two ids may have the same, and a table of hashes cannot be joined with anything.

Of what may not be kept, such as the attributes of a profile, a table has a digest. What is kept true there: two rows
have the same digest only if the driver returns the same values for both. So the digest is made of the texts that the
driver would receive (or, in SQLite, of the values, by a function of ours), each with its length before it, as "ab", "c"
is another row than "a", "bc"; and a missing value is unlike any text. A database of which this is not known has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_batch.exceptions import SnapshotError
from airflow_provider_batch.protocol.rows import in_blocks
from airflow_provider_batch.sources.sql import driver_of

_CONCAT: Final = "CONCAT({})"

#: The arguments of one call; PostgreSQL takes 100 at most.
_MOST_ARGUMENTS: Final = 90


@dataclass(frozen=True, slots=True)
class Dialect:
    """
    The values of one database; ``{}`` stands for an expression.

    :param key: an id as a value that compares by its bytes.
    :param text: such a value as text.
    :param odd: the condition that a value is neither text nor a whole number, where a column may have both; empty where
        all values of a column have one type.
    :param json: what the driver calls the types of columns with JSON, of which it makes values of any type.
    :param exact: for what the driver calls a type: its value as the driver returns it, where a cast to text makes
        another text of it.
    :param kept: an attribute as base and net have it. As a type of the database, its value would be another one
        whenever the labels of an enumeration, or the time zone, are; and tables would depend on a type of the user.
    :param same: such an attribute as a value that is equal only to the same value.
    :param missing: the condition that the driver returns a value that counts as missing.
    :param part: a value as a part of what its row's digest is made of.
    :param packed: several such parts as one, which commas separate.
    :param digest: the digest of all parts as one; empty for a database without one.
    :param plain: a text of ours, so that no setting of a connection decides what it can be compared and united with.
    :param glue: what makes one text of two between which it stands; empty for a function CONCAT.
    :param describe: how a statement begins that lists the columns of a query, for a database that gives those of a
        subquery other names.
    :param renames: whether it numbers the columns of a subquery that have the same name.
    :param length: the number of characters in a text.
    :param quote: what stands around the name of a column.
    :param create: how a statement begins that makes a table of ids from a query.
    :param analyze: the statement by which the database learns what a table is like; empty where it needs none.
    :param partition: by what rows are partitioned for an id to have one of its own.
    :param noting: the statement that notes, before the text of a connection is set, what the settings restore.
    :param settings: the statements with which a connection begins; what the database refuses is left out.
    :param publish: the statement after which rows of a table can change though the database publishes all tables; empty
        where it needs none.
    :param limit: what stands before a statement that may have to wait for a lock, which a worker that hangs may hold:
        with it, the statement fails after ten seconds. Empty where the database does not wait for hours by itself.
    :param before_drop: the statement that limits how long those after it wait, before a table is dropped; empty where
        *limit* does, or none is needed.
    :param string: a text, as a column that can hold any other one.
    :param integer: a number, as a column of large integers.
    :param moment: a text such as ``2026-01-31 12:00:00``, as a point in time.
    :param head: declarations of the columns of the head, for a database that makes their types of their first values.
    :param longest: the characters of the longest id that a table of ids can hold.
    :param full_join: whether it has FULL JOIN. Where not, the query is staged, so that it is read once.
    :param start: the part of an id by which a subquery has an index, where it has none by whole ids.
    :param stages_rows: whether its rows are staged as they are, in columns without a type: CREATE TABLE AS would give
        each column one, and make other values of some.
    :param commits: whether its connections can commit.
    :param placeholder: where a statement takes a parameter.
    :param catalogue: the query for the names of the tables in a schema.
    :param is_experimental: whether its statements have been checked for their syntax only.
    """

    name: str
    key: str
    text: str = "{}"
    odd: str = ""
    json: tuple[str, ...] = ()
    exact: Mapping[str, str] = field(default_factory=dict)
    kept: str = "{}"
    same: str = "{}"
    missing: str = "{0} IS NULL"
    part: str = "{}"
    packed: str = _CONCAT
    digest: str = ""
    plain: str = "{}"
    glue: str = ""
    describe: str = ""
    renames: bool = False
    length: str = "CHAR_LENGTH({})"
    quote: str = '"'
    create: str = "CREATE TABLE {} AS"
    analyze: str = ""
    partition: str = "{}"
    noting: str = ""
    settings: tuple[str, ...] = ()
    publish: str = ""
    limit: str = ""
    before_drop: str = ""
    string: str = "CAST({} AS VARCHAR)"
    integer: str = "CAST({} AS BIGINT)"
    moment: str = "CAST({} AS TIMESTAMP)"
    head: str = ""
    longest: int = 1_000_000
    full_join: bool = True
    start: str = ""
    stages_rows: bool = False
    commits: bool = True
    placeholder: str = "%s"
    catalogue: str = "SELECT table_name FROM {catalog}information_schema.tables WHERE LOWER(table_schema) = {name}"
    is_experimental: bool = True

    def as_key(self, expression: str) -> str:
        """Return the form of an id that compares by its bytes."""
        return self.key.replace("{}", expression)

    def as_text(self, key: str) -> str:
        """Return the text of an id in that form."""
        return self.text.replace("{0}", key).replace("{}", key)

    def as_digest(self, parts: Sequence[str]) -> str:
        """Return the digest of a row, of which these are the parts."""
        return self.plain.format(self.digest.format(_nested(self.packed, parts)))

    def joined(self, texts: Sequence[str]) -> str:
        """Return one text made of *texts*."""
        return self.plain.format(f"({self.glue.join(texts)})" if self.glue else _nested(_CONCAT, texts))


def _nested(function: str, arguments: Sequence[str]) -> str:
    """Return a call with any number of arguments, of a function that is the same for some and for the rest."""
    while len(arguments) > _MOST_ARGUMENTS:
        arguments = [function.format(", ".join(some)) for some in in_blocks(arguments, _MOST_ARGUMENTS)]
    return function.format(", ".join(arguments))


_MYSQL_TEXT: Final = "CONVERT({} USING utf8mb4)"

#: With a log of statements, nothing could be written at that level.
_READ_COMMITTED: Final = "SET SESSION {0} = IF(@@log_bin AND @@binlog_format = 'STATEMENT', @@{0}, 'READ-COMMITTED')"

#: The function of ours that SQLite calls: its own texts of two numbers may be the same.
SQLITE_DIGEST: Final = "batch_digest"


def _part(*texts: str, length: str = "CHAR_LENGTH({})", is_missing: str = "{0} IS NULL") -> str:
    measured = ", ".join(f"{length.format(text)}, ':', {text}" for text in texts)
    return f"CASE WHEN {is_missing} THEN '-' ELSE CONCAT({measured}) END"


#: An index of InnoDB has at most 3072 bytes, and a character at most four.
_LONGEST_KEY: Final = 700

#: In tables whose row format or page is a small one, an index has at most 767 bytes of a column.
_INDEXED: Final = 767

DIALECTS: Final = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            "postgresql",
            key='CAST({} AS TEXT) COLLATE "C"',
            json=("114", "3802"),  # the drivers give the number of a type
            # CHAR with its blanks; INET without the mask of a host.
            exact=dict.fromkeys(("1042", "869"), "CASE WHEN {0} IS NULL THEN NULL ELSE CONCAT({0}) END"),
            kept='CAST({} AS TEXT) COLLATE "C"',
            # A cast would drop the blanks at the end of a CHAR; and a record of NULLs is NULL, but not missing.
            part=_part("CONCAT({0})", is_missing="{0} IS NOT DISTINCT FROM NULL"),
            missing=(
                "{0} IS NOT DISTINCT FROM NULL OR "
                "(PG_TYPEOF({0}) IN ('real'::regtype, 'float8'::regtype, 'numeric'::regtype) AND CONCAT({0}) = 'NaN')"
            ),
            digest="LEFT(ENCODE(SHA256(CONVERT_TO({}, 'UTF8')), 'hex'), 32)",
            # Before that, it believes that many rows have one id, and sorts both sides of a join.
            analyze="ANALYZE {}",
            # A table made of a query has no key by which a row could be found elsewhere.
            publish="ALTER TABLE {} REPLICA IDENTITY FULL",
            # Sent in one text with a statement, it is in its transaction, also with autocommit, and ends with that.
            limit="SET LOCAL lock_timeout = '10s'; ",
            string="CAST({} AS TEXT)",
            is_experimental=False,
        ),
        Dialect(
            # Under utf8mb4_bin, blanks at the end do not count. An index needs a key of limited length, which MySQL
            # does not find out by itself: longer ids are cut, and stay too long.
            "mysql",
            key=f"CAST(LEFT({_MYSQL_TEXT}, {_LONGEST_KEY} + 1) AS BINARY)",
            text=_MYSQL_TEXT,
            kept=f"{_MYSQL_TEXT} COLLATE utf8mb4_bin",
            same="CAST({} AS BINARY)",
            part=_part(_MYSQL_TEXT.replace("{}", "{0}")),
            digest="LEFT(SHA2({}, 256), 32)",
            plain="{} COLLATE utf8mb4_bin",
            length=f"CHAR_LENGTH({_MYSQL_TEXT})",
            # Of what it sorts, it compares the first max_sort_length bytes.
            partition="UNHEX(SHA2({0}, 256)), {0}",
            exact=dict.fromkeys(("1", "2", "3", "8", "9"), "({} + 0)"),  # integers: without the zeros of ZEROFILL
            noting="SET @batch_collation = @@collation_connection",
            settings=(
                "SET NAMES utf8mb4",
                # By this, the query compares its own texts.
                "SET collation_connection = "
                "IF(@batch_collation LIKE 'utf8mb4%', @batch_collation, @@collation_connection)",
                # For people at a keyboard, servers leave rows out of results, and refuse large joins or changes.
                "SET SESSION sql_select_limit = 18446744073709551615, sql_big_selects = 1, sql_safe_updates = 0",
                "SET SESSION default_storage_engine = InnoDB",
                # Otherwise CREATE TABLE AS locks each row that it reads. Older MariaDBs have the second name.
                *map(_READ_COMMITTED.format, ("transaction_isolation", "tx_isolation")),
                # What is NULL in a SELECT would be an error in CREATE TABLE AS.
                "SET SESSION sql_mode = "
                "REPLACE(REPLACE(@@sql_mode, 'ERROR_FOR_DIVISION_BY_ZERO', ''), 'TRADITIONAL', '')",
            ),
            quote="`",
            create=f"CREATE TABLE {{}} (id VARBINARY({4 * (_LONGEST_KEY + 1)}), KEY (id({_INDEXED}))) AS",
            # MySQL has no limit for one statement: this one holds until the connection is closed, after the step.
            before_drop="SET SESSION lock_wait_timeout = 10",
            catalogue="SELECT table_name FROM information_schema.tables WHERE table_schema = {exact_name} AND "
            "(BINARY table_schema = {exact_name} OR @@lower_case_table_names <> 0)",
            string="CAST({} AS CHAR(1000) CHARACTER SET utf8mb4) COLLATE utf8mb4_bin",
            integer="CAST({} AS SIGNED)",
            moment="CAST({} AS DATETIME)",
            head=" (state LONGTEXT CHARACTER SET utf8mb4)",
            longest=_LONGEST_KEY,
            full_join=False,
            start="LEFT({}, 250)",
            is_experimental=False,
        ),
        Dialect(
            # Its columns take their collation from a setting, even those made of a COLLATE.
            "duckdb",
            key="encode(CAST({} AS VARCHAR))",
            text="decode({})",
            same="encode(CAST({} AS VARCHAR))",
            # Older versions write ['a, b'] and ['a', 'b'] alike, and JSON has no DECIMAL.
            part=_part("CAST({0} AS VARCHAR)", "CAST(TO_JSON({0}) AS VARCHAR)", length="LENGTH({})"),
            missing="{0} IS NULL OR (TYPEOF({0}) IN ('FLOAT', 'DOUBLE') AND LOWER(CAST({0} AS VARCHAR)) = 'nan')",
            digest="LEFT(SHA256({}), 32)",
            describe="DESCRIBE",
            length="LENGTH({})",
            commits=False,
            placeholder="?",
            # One catalogue lists all databases; a name without a dot is a schema of this one, or another database.
            catalogue="SELECT table_name FROM information_schema.tables WHERE {path} IN ("
            "LOWER(table_catalog || '.' || table_schema), "
            "CASE WHEN table_catalog = CURRENT_DATABASE() THEN LOWER(table_schema) END, "
            "CASE WHEN table_schema = 'main' THEN LOWER(table_catalog) END)",
            is_experimental=False,
        ),
        Dialect(
            "sqlite",
            key="(CAST({} AS TEXT) || '')",
            odd="typeof({}) IN ('real', 'blob')",
            # As text, a number has 15 digits, unless it is quoted.
            same="CASE typeof({0}) WHEN 'real' THEN quote({0}) ELSE typeof({0}) || ' ' || {0} END",
            packed=f"{SQLITE_DIGEST}({{}})",
            digest="{}",
            glue=" || ",
            length="LENGTH({})",
            string="CAST({} AS TEXT)",
            integer="CAST({} AS INTEGER)",
            moment="CAST({} AS TEXT)",
            renames=True,
            full_join=False,
            stages_rows=True,
            placeholder="?",
            catalogue="SELECT name FROM {schema}sqlite_master WHERE type = 'table'",
            is_experimental=False,
        ),
        Dialect(
            "snowflake",
            key="COLLATE(CAST({} AS VARCHAR), '')",
            same="COLLATE(TO_VARCHAR({}), '')",
            # Its text of a FLOAT has 15 digits, that of a VARIANT no type, and that of a time a format of the session.
            part=_part(
                *("COLLATE(TO_VARCHAR({0}), '')", "TO_VARCHAR(HASH({0}))", "TYPEOF(TO_VARIANT({0}))"),
                length="LENGTH({})",
            ),
            digest="LEFT(SHA2({}, 256), 32)",
            length="LENGTH({})",
            create="CREATE TRANSIENT TABLE {} AS",
        ),
        Dialect(
            "bigquery",
            key="COLLATE(CAST({} AS STRING), '')",
            same="TO_JSON_STRING({})",
            part=_part("TO_JSON_STRING({0})", length="CAST(CHAR_LENGTH({}) AS STRING)"),
            digest="LEFT(TO_HEX(SHA256({})), 32)",
            quote="`",
            string="CAST({} AS STRING)",
            integer="CAST({} AS INT64)",
            catalogue="SELECT table_name FROM {schema}INFORMATION_SCHEMA.TABLES",
        ),
        Dialect(
            # Blanks at the end do not count, so none is at the end.
            "redshift",
            key="CAST({} AS VARCHAR(1024)) || '.'",
            text="LEFT({0}, LEN({0}) - 1)",
            same="CAST({} AS VARCHAR(65535)) || '.'",
            length="LEN({})",
            longest=250,
            string="CAST({} AS VARCHAR(65535))",
        ),
        Dialect(
            "databricks",
            key="CAST({} AS STRING) COLLATE UTF8_BINARY",
            same="TO_JSON(STRUCT({}))",
            part=_part("TO_JSON(STRUCT({0}))", length="CAST(CHAR_LENGTH({}) AS STRING)"),
            digest="LEFT(SHA2({}, 256), 32)",
            quote="`",
            string="CAST({} AS STRING)",
            placeholder="?",
        ),
        Dialect(
            "trino",
            key="CAST({} AS VARCHAR)",
            part=_part("CAST({0} AS VARCHAR)", length="CAST(LENGTH({}) AS VARCHAR)"),
            digest="SUBSTR(LOWER(TO_HEX(SHA256(TO_UTF8({})))), 1, 32)",
            length="LENGTH({})",
            commits=False,
            placeholder="?",
        ),
    )
}

#: The first part of the name of a driver's module, or two parts if the first one belongs to many.
_DRIVERS: Final = {
    **dict.fromkeys(("psycopg", "psycopg2"), "postgresql"),
    **dict.fromkeys(("MySQLdb", "pymysql", "mysql"), "mysql"),
    **dict.fromkeys(("duckdb", "_duckdb"), "duckdb"),
    "sqlite3": "sqlite",
    "snowflake": "snowflake",
    "google": "bigquery",
    "redshift_connector": "redshift",
    "databricks": "databricks",
    "trino": "trino",
}


def dialect_of(connection: Any) -> Dialect:
    """
    Return the dialect of a DB-API connection, by the driver that made it.

    :raises SnapshotError: if it is not among those that are known.
    """
    driver = driver_of(connection, _DRIVERS)
    name = _DRIVERS.get(driver)
    if name is None:
        known = ", ".join(f"{each.name} (experimental)" if each.is_experimental else each.name for each in _known())
        raise SnapshotError(
            f"snapshot_schema: a connection of {driver} is not supported; supported are {known}. Pass "
            "snapshot_path instead, which works with every database."
        )
    return DIALECTS[name]


def _known() -> list[Dialect]:
    return sorted(DIALECTS.values(), key=lambda dialect: (dialect.is_experimental, dialect.name))
