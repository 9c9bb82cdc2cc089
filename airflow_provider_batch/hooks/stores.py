"""Where a mirror's snapshot is: in a folder, or in tables beside the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_batch.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from airflow_provider_batch.mirror.plan import FolderMirror
    from airflow_provider_batch.mirror.tables.mirror import TableMirror
    from airflow_provider_batch.mirror.target import Target
    from airflow_provider_batch.protocol.dialect import MemberRules


def check_one_store(snapshot_path: Any, snapshot_schema: str | None) -> None:
    """
    Check that there is one place for the snapshot.

    :raises InvalidArgumentError: if there is none, or more.
    """
    if (snapshot_path is None) == (not snapshot_schema):
        raise InvalidArgumentError(
            "snapshot_path, snapshot_schema: a mirror keeps its snapshot in a folder or in a schema. Pass one of them."
        )


def folder_mirror(conn_id: str, target: Target, snapshot_path: Any) -> FolderMirror:
    """Return the mirror that keeps its snapshot in a folder of its own under *snapshot_path*."""
    from airflow_provider_batch.mirror.plan import FolderMirror

    return FolderMirror(snapshot_path / _file_name(conn_id) / target.audience, target)


def table_mirror(
    conn_id: str,
    target: Target,
    snapshot_schema: str,
    rules: MemberRules,
    database: Any,
    **of_run: Any,
) -> TableMirror:
    """
    Return the mirror that keeps its snapshot in tables of *snapshot_schema*.

    :param database: an Airflow hook for the database, or any object whose ``get_conn`` returns a DB-API connection.
    :param of_run: what :class:`~airflow_provider_batch.mirror.tables.mirror.TableMirror` has to know of a run; without
        it, the mirror is read or confirmed.
    :raises InvalidArgumentError: if there is no such object.
    """
    from airflow_provider_batch.mirror.tables.database import Database
    from airflow_provider_batch.mirror.tables.keeper import Keeper
    from airflow_provider_batch.mirror.tables.mirror import TableMirror, tables_name

    if not callable(getattr(database, "get_conn", None)):
        raise InvalidArgumentError(
            "snapshot_schema: the ids are not those of a query (SqlSource), or its database is missing. Pass "
            "snapshot_path instead."
        )
    keeper = Keeper(snapshot_schema, tables_name(conn_id, target))
    return TableMirror(Database(database.get_conn), keeper, target, rules, **of_run)


def _file_name(text: str) -> str:
    """Return *text* in a form that can name a folder."""
    return quote(text, safe=" ").replace(".", "%2E")
