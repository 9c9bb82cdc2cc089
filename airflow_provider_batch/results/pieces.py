"""
Figures on their way into one file.

Reading the figures of many campaigns takes long, and a file in an object store cannot be continued. So what was read is
put into the folder piece by piece, under hidden names, and put together at the end. A retry reads the pieces again, and
goes on with what is not in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from airflow_provider_batch.results.files import ResultFolder
from airflow_provider_batch.results.statistics import Figures

#: How many are in one piece: at 60 calls a minute, less than half a minute of reading.
_SIZE: Final = 25


class Pieces:
    """
    The pieces of one file.

    :param name: of the file.
    :param count: how many pieces an earlier try has left; if one of them is gone, all that are there are deleted.
    """

    def __init__(self, folder: ResultFolder, name: str, count: int = 0) -> None:
        self._folder = folder
        self._name = name
        self._held: list[Figures] = []
        #: How many are complete.
        self.count = 0
        #: The keys of all that was read.
        self.keys: set[str] = set()
        self.rows = 0
        if {self._piece(number) for number in range(count)} <= set(folder.staged()):
            for number in range(count):
                for key, rows in self._read(number):
                    self.keys.add(key)
                    self.rows += len(rows)
            self.count = count
        if not self.count:
            self.delete()

    def add(self, figures: Figures) -> bool:
        """Add what was read about one, and return whether that completed a piece."""
        self.keys.add(figures.key)
        self.rows += len(figures.lines)
        self._held.append(figures)
        return len(self._held) >= _SIZE and self.flush()

    def flush(self) -> bool:
        """Put what is held into a piece, and return whether there was something."""
        if not self._held:
            return False
        texts = (json.dumps([each.key, each.lines], ensure_ascii=False) for each in self._held)
        self._folder.stage(self._piece(self.count), texts)
        self._held = []
        self.count += 1
        return True

    def finish(self, compression: str | None) -> None:
        """Put all pieces together into the file, which replaces an earlier one, and delete them."""
        self.flush()
        lines = (
            json.dumps(row, ensure_ascii=False)
            for number in range(self.count)
            for _, rows in self._read(number)
            for row in rows
        )
        self._folder.stage(self._name, lines, compression)
        self._folder.publish([self._name])
        self.delete()

    def delete(self) -> None:
        """Delete all pieces."""
        self._folder.delete(self._folder.find(re.compile(rf"\.{re.escape(self._name)}(?:\.[0-9]{{6}})?\.tmp")))

    def _piece(self, number: int) -> str:
        return f"{self._name}.{number:06}"

    def _read(self, number: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        with self._folder.opened(self._piece(number)) as file:
            for line in file:
                yield json.loads(line)
