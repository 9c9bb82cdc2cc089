"""Paths in any storage that Airflow supports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_batch.exceptions import SourceError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath


def storage_path(path: Any, conn_id: str | None = None) -> ObjectStoragePath:
    """
    Return *path* as a path of Airflow's object storage.

    :param path: a str, or such a path.
    :param conn_id: the connection to the storage, if the path does not name it.
    :raises SourceError: if nothing is installed that opens this storage, or the path is empty.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    if str(path).strip() in ("", "None"):  # it would be a folder of the worker
        raise SourceError(f"{str(path)!r} is not a path, but what a template without a value renders to. Correct it.")
    try:
        found = ObjectStoragePath(path, conn_id=conn_id) if conn_id else ObjectStoragePath(path)
        found.fs  # noqa: B018  # the property looks for the file system
    except (ImportError, ValueError, OSError) as error:
        raise SourceError(
            f"{path}: this storage cannot be opened: {error}. Check the scheme of the path, and install the provider "
            "of its cloud with its file system, such as apache-airflow-providers-amazon[s3fs]."
        ) from error
    return found
