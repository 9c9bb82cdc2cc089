"""A file of rejected rows, for the person who has to correct them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.audiences.members import Change, Member
from airflow_provider_batch.protocol.profiles.table import Profile
from airflow_provider_batch.protocol.rows import BadRow
from airflow_provider_batch.sources.paths import unreadable


class Rejects:
    """
    Writes rejected rows to *path* as JSON lines: ``{"where": …, "reason": …, "value": …}``.

    The first rejected row creates the file, and replaces an earlier one; without rejected rows an earlier file stays.
    The file holds ids: to pass a path is to ask for them. ``value`` is null for a row that could not be read.

    :param path: a pathlib.Path, or a path with the same methods, such as Airflow's ObjectStoragePath.
    """

    def __init__(self, path: Any) -> None:
        self._path = path
        self._file: Any = None
        #: The number of rows written.
        self.count = 0

    def write(self, where: str, reason: str, value: object) -> None:
        """
        Append one row.

        :param where: the place of the row, such as ``add_ids[3] (ids.csv, line 17)``.
        :param reason: why it was rejected.
        :param value: the rejected value, ids included.

        :raises SourceError: if the file cannot be written.
        """
        row = {"where": where, "reason": reason, "value": _to_json(value)}
        try:
            text = json.dumps(row, ensure_ascii=False, default=str)
        except (TypeError, ValueError):  # a key that JSON does not have, a row that contains itself
            text = json.dumps({**row, "value": str(value)}, ensure_ascii=False)
        # A lone surrogate, which UTF-8 cannot encode, becomes its escape \uXXXX, which JSON decodes.
        line = text.encode("utf-8", "backslashreplace")
        if self._file is None:
            self._file = self._run(self._open)
        self._run(lambda: self._file.write(line + b"\n"))
        self.count += 1

    def close(self) -> None:
        """Close the file, if a row was written; an object storage makes it visible only now."""
        file, self._file = self._file, None
        if file is not None:
            self._run(file.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # An error inside the block matters more than a failure to close, which it may have caused.
        with suppress(*(() if error is None else (SourceError,))):
            self.close()

    def _open(self) -> Any:
        try:
            return self._path.open("wb")
        except FileNotFoundError:  # a local folder is missing; object storages have no folders
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return self._path.open("wb")

    def _run(self, operation: Callable[[], Any]) -> Any:
        """Return the result of *operation*; an error of the storage becomes a SourceError."""
        try:
            return operation()
        except Exception as error:  # object storages have errors of their own, of no common class
            raise unreadable(str(self._path), error, "rejected rows cannot be written") from error


def _to_json(value: object) -> object:
    if isinstance(value, BadRow):
        return None
    if isinstance(value, Change):
        return {"action": value.action, "value": _to_json(value.value)}
    if isinstance(value, Member):
        return {"id": value.id, "attributes": value.attributes, "tags": value.tags}
    if isinstance(value, Profile):
        return {"custom_id": value.id, "attributes": value.attributes}
    return value
