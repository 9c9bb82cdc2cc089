"""Rejected rows in a file, for whoever has to repair them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.audiences.members import Change, Member
from airflow_provider_batch.protocol.rows import BadRow
from airflow_provider_batch.sources.paths import unreadable


class Rejects:
    """
    Writes rejected rows to *path* as JSON lines: ``{"where": …, "reason": …, "value": …}``.

    The file is made with the first of them, in place of an earlier one; where there is none, nothing is touched.
    It holds ids, as whoever names a path asks for them. ``value`` is null for a row that could not be read.

    :param path: a pathlib.Path or another of its kind, such as Airflow's ObjectStoragePath.
    """

    def __init__(self, path: Any) -> None:
        self._path = path
        self._file: Any = None
        #: How many were written.
        self.count = 0

    def write(self, where: str, reason: str, value: object) -> None:
        """
        Add one row.

        :raises SourceError: if the file cannot be written.
        """
        row = {"where": where, "reason": reason, "value": _plain(value)}
        # What UTF-8 has no bytes for, half a surrogate pair, becomes what JSON writes in its place.
        line = json.dumps(row, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")
        if self._file is None:
            self._file = self._asked(self._open)
        self._asked(lambda: self._file.write(line + b"\n"))
        self.count += 1

    def close(self) -> None:
        """Put the file in place, if there is one."""
        file, self._file = self._file, None
        if file is not None:
            self._asked(file.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What has failed before says more than that this fails as well.
        with suppress(*(() if error is None else (SourceError,))):
            self.close()

    def _open(self) -> Any:
        try:
            return self._path.open("wb")
        except FileNotFoundError:  # object storages have no folders to miss
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return self._path.open("wb")

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except OSError as error:
            raise unreadable(str(self._path), error, "rejected rows cannot be written") from error


def _plain(value: object) -> object:
    if isinstance(value, BadRow):
        return None
    if isinstance(value, Change):
        return {"action": value.action, "value": _plain(value.value)}
    if isinstance(value, Member):
        return {"id": value.id, "attributes": value.attributes, "tags": value.tags}
    return value
