"""The file of rejected rows, at ``rejects_path``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_batch.tasks.storage import storage_path

if TYPE_CHECKING:
    from airflow_provider_batch.protocol.rows import OnRejection, Rejection


@contextmanager
def rejects_file(path: Any) -> Iterator[OnRejection | None]:
    """
    Yield a function that writes a rejected row to *path*; None without a path.

    :param path: text, or a path of Airflow's object storage.
    """
    if path is None:
        yield None
        return
    from airflow_provider_batch.sources.rejects import Rejects

    with Rejects(storage_path(path)) as rejects:
        # A source that has changed since the last try is read again from its beginning: each row is written once.
        written: set[str] = set()

        def write(rejection: Rejection, value: object) -> None:
            if rejection.where not in written:
                written.add(rejection.where)
                rejects.write(rejection.where, rejection.reason, value)

        yield write
