"""The hook of a connection to a database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_batch.exceptions import InvalidArgumentError, SourceError


def database_hook(conn_id: str, hook_params: Mapping[str, Any] | None = None) -> Any:
    """
    Return the DB-API hook of the connection.

    :raises SourceError: if the extra ``sql`` is not installed.
    :raises InvalidArgumentError: if the connection is not one to a database.
    """
    try:
        from airflow.providers.common.sql.hooks.sql import DbApiHook
    except ImportError:
        raise SourceError("queries need an extra: pip install 'airflow-provider-batch[sql]'") from None
    connection = BaseHook.get_connection(conn_id)
    hook = connection.get_hook(hook_params=dict(hook_params or {}))
    if not isinstance(hook, DbApiHook):
        raise InvalidArgumentError(
            f"conn_id: {conn_id!r} is of type {connection.conn_type!r}, which has no DB-API hook. Pass another."
        )
    return hook
