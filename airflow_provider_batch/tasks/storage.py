"""Paths in any storage that Airflow supports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath


def storage_path(path: Any, conn_id: str | None = None) -> ObjectStoragePath:
    """
    Return *path* as a path of Airflow's object storage.

    :param path: a str, or such a path.
    :param conn_id: the connection to the storage, if the path does not name it.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(path, conn_id=conn_id) if conn_id else ObjectStoragePath(path)
