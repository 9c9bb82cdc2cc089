"""Both kinds of places for a mirror's snapshot, behind one face for the tests that run on all of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.sql import SqlSource
from tests.mirror.folders import memory_path
from tests.mirror.mortal import Lives, MortalPath, mortal

#: What a store takes to hold an id and its number.
_TYPES: Final = {"pymysql": ("VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "INT")}


class FolderStore:
    """A folder; its ids come from a list."""

    is_sorted = True

    def __init__(self) -> None:
        self.path = memory_path()

    def source(self, members: Mapping[str, int], lives: Lives) -> Any:
        return [{"id": id_, "attributes": {"n": number}} for id_, number in members.items()]

    def place(self, lives: Lives) -> dict[str, Any]:
        return {"snapshot_path": MortalPath(self.path, lives)}

    def has_claim(self) -> bool:
        folder = self.path / "batch_mirrored" / "vip"
        return folder.exists() and any(path.name == "claim.json" for path in folder.iterdir())


class Connections:
    """
    What opens connections to one database, as Airflow's hooks do.

    :param connect: returns a new one.
    :param driver: the name of its driver's module.
    """

    def __init__(self, connect: Callable[[], Any], driver: str, schema: str) -> None:
        self.connect = connect
        self.driver = driver
        self.schema = schema

    def get_conn(self) -> Any:
        return self.connect()

    def run(self, *statements: str) -> list[Any]:
        """Execute statements, and return the rows of the last one."""
        with closing(self.connect()) as connection, closing(connection.cursor()) as cursor:
            rows: list[Any] = []
            for statement in statements:
                cursor.execute(statement)
                rows = list(cursor.fetchall()) if cursor.description else []
            if self.driver != "duckdb":
                connection.commit()
            return rows

    def tables(self) -> list[str]:
        """The names of all tables in the schema."""
        if self.driver == "sqlite3":
            rows = self.run("SELECT name FROM sqlite_master WHERE type = 'table'")
        else:
            rows = self.run(f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{self.schema}'")
        return sorted(str(name) for (name,) in rows)

    def head(self) -> dict[str, Any] | None:
        """The state in the one head; None without one."""
        heads = [name for name in self.tables() if name.endswith("_head")]
        if not heads:
            return None
        text = self.run(f"SELECT state FROM {self.schema}.{heads[0]}")[0][0]
        state: dict[str, Any] = json.loads(text) if text else {"claim": None}
        return state


class Mortal:
    """Connections whose user is killed at a given moment."""

    def __init__(self, connections: Connections, lives: Lives) -> None:
        self._connections = connections
        self._lives = lives

    def get_conn(self) -> Any:
        self._lives.take()
        kind = type("Connection", (_MortalConnection,), {"__module__": self._connections.driver})
        return kind(self._connections.connect(), self._lives)


class _MortalConnection:
    def __init__(self, connection: Any, lives: Lives) -> None:
        self._connection = connection
        self._lives = lives

    def cursor(self, *arguments: Any, **named: Any) -> Any:
        return _MortalCursor(self._connection.cursor(*arguments, **named), self._lives)

    def close(self) -> None:
        self._connection.close()

    @property
    def autocommit(self) -> Any:
        return self._connection.autocommit

    @autocommit.setter
    def autocommit(self, is_on: bool) -> None:
        self._connection.autocommit = is_on

    def __getattr__(self, name: str) -> Any:
        return mortal(getattr(self._connection, name), self._lives)


class _MortalCursor:
    def __init__(self, cursor: Any, lives: Lives) -> None:
        self._cursor = cursor
        self._lives = lives

    def execute(self, *arguments: Any) -> Any:
        return mortal(self._cursor.execute, self._lives)(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class TableStore:
    """Tables; the ids come from one of them."""

    is_sorted = False

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        for name in connections.tables():
            connections.run(f"DROP TABLE {connections.schema}.{name}")
        id_, number = _TYPES.get(connections.driver, ("VARCHAR(200)", "INT"))
        connections.run(f"CREATE TABLE {connections.schema}.members (id {id_}, n {number})")

    def source(self, members: Mapping[str, int], lives: Lives) -> Any:
        table = f"{self.connections.schema}.members"
        rows = ", ".join(f"('{id_}', {number})" for id_, number in members.items())
        self.connections.run(f"DELETE FROM {table}", *([f"INSERT INTO {table} VALUES {rows}"] if rows else []))
        return SqlSource(
            Mortal(self.connections, lives), f"SELECT id, n FROM {table}", None, Columns("id", attribute_columns=["n"])
        )

    def place(self, lives: Lives) -> dict[str, Any]:
        return {"snapshot_schema": self.connections.schema}

    def has_claim(self) -> bool:
        head = self.connections.head()
        return head is not None and head["claim"] is not None


def sqlite_connections(path: Path) -> Connections:
    """A database in a file, which need not survive the machine."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    return Connections(connect, "sqlite3", "main")


@contextmanager
def duckdb_connections() -> Iterator[Connections]:
    """A database in memory, which lasts as long as the block."""
    import duckdb

    with duckdb.connect(":memory:") as root:
        yield Connections(root.cursor, "duckdb", "main")
