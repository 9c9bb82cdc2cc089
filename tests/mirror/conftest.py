"""Databases for mirrors in tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from local_mariadb import mariadb_programs, running_mariadb

from tests.conftest import FAST_FOLDER
from tests.mirror.stores import Connections, duckdb_connections, sqlite_connections
from tests.real_servers import missing


@pytest.fixture
def tables_in_sqlite(tmp_path: Any) -> Connections:
    return sqlite_connections(tmp_path / "tables.db")


@pytest.fixture
def tables_in_duckdb() -> Iterator[Connections]:
    with duckdb_connections() as connections:
        yield connections


@pytest.fixture
def tables_in_postgresql(postgres_server: str) -> Connections:
    """A schema of its own, emptied by each user."""
    import psycopg2  # type: ignore[import-untyped]

    def connect() -> Any:
        return psycopg2.connect(host=postgres_server, user="airflow", dbname="postgres")

    connections = Connections(connect, "psycopg2", "analytics_batch")
    connections.run("DROP SCHEMA IF EXISTS analytics_batch CASCADE", "CREATE SCHEMA analytics_batch")
    return connections


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[str]:
    """The socket of a MariaDB of our own."""
    programs = mariadb_programs()
    if programs is None:
        missing("MariaDB's server is not installed (Debian: apt-get install mariadb-server)")
    assert programs
    with running_mariadb(*programs, parent=FAST_FOLDER) as socket:
        yield str(socket)


@pytest.fixture
def tables_in_mariadb(mariadb_server: str) -> Connections:
    """A database of its own with the default collation, emptied by each user."""
    pymysql = pytest.importorskip("pymysql", reason="PyMySQL is not installed (pip install pymysql)")

    options = {"user": "root", "database": "mysql", "charset": "utf8mb4"}

    def connect() -> Any:
        # Else, each connection reads all of this machine's certificates: that takes longer than most tests.
        return pymysql.connect(unix_socket=mariadb_server, ssl_disabled=True, **options)

    connections = Connections(connect, "pymysql", "analytics_batch")
    connections.run("DROP DATABASE IF EXISTS analytics_batch", "CREATE DATABASE analytics_batch CHARACTER SET utf8mb4")
    return connections


@pytest.fixture(
    params=[
        *("sqlite", "duckdb"),
        pytest.param("postgresql", marks=pytest.mark.xdist_group("postgres_server")),
        pytest.param("mariadb", marks=pytest.mark.xdist_group("mariadb_server")),
    ]
)
def connections(request: pytest.FixtureRequest) -> Connections:
    """A database of each kind."""
    found: Connections = request.getfixturevalue(f"tables_in_{request.param}")
    return found
