"""
The parts of an export: each is downloaded as a whole, checked, and read record by record.

A part lies in a temporary file meanwhile, never in memory. It is at most 100 MB, and only one is there at a time. The
file has no name, so that nothing is left of it when the worker is killed. Only a part that arrived whole is read: no
record of one that did not is handed out. Each attempt asks Batch for a new address, as the one before may have expired.
"""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from airflow_provider_batch.exceptions import BatchError, BatchProtocolError, PushStoppedError
from airflow_provider_batch.protocol.exports import conversations, encode
from airflow_provider_batch.protocol.exports.export import ExportFile
from airflow_provider_batch.protocol.exports.records import RecordReader
from airflow_provider_batch.protocol.wire import Sleep
from airflow_provider_batch.push.line import Line
from airflow_provider_batch.transport.download import Downloader, wrong_size

#: Bytes that are read at once.
_PIECE: Final = 1 << 16
_GZIP: Final = b"\x1f\x8b"


class Parts:
    """
    The parts of the exports of one project.

    :param version: of Batch's API.
    """

    def __init__(self, line: Line, version: str) -> None:
        settings = line.settings
        self._line = line
        self._version = version
        self._downloader = Downloader(
            settings.credentials.url(encode.download(version, "")),
            timeout=settings.timeout,
            stopped=line.transport.stopped,
        )

    @contextmanager
    def opened(self, file: ExportFile) -> Iterator[tuple[int, Iterator[tuple[str, dict[str, Any]]]]]:
        """
        Yield how many bytes a part has, and its records: the text and the value of each.

        :raises ExportError: if it cannot be downloaded, or has another size than Batch reports.
        :raises BatchProtocolError: if it does not hold records.
        """
        with tempfile.TemporaryFile() as spool:
            received = self._download(file, spool)
            yield received, _records(spool, f"part {file.number}")

    def _download(self, file: ExportFile, spool: BinaryIO) -> int:
        backoff = self._line.settings.backoff
        attempt, waited = 1, 0.0
        while True:
            address = self._line.ask(conversations.address(self._version, file.id, backoff))
            try:
                spool.seek(0)
                spool.truncate()
                received = self._downloader.save(address, spool, file.size)
                _check_size(spool, received, file.size)
                return received
            except PushStoppedError:
                raise
            except BatchError as error:
                failure = error
            if (pause := backoff(attempt, failure, waited)) is None:
                failure.attempts = attempt if attempt > 1 else None
                raise failure
            attempt, waited = attempt + 1, waited + pause
            self._line.transport.perform(Sleep(pause, retries=failure))


def _check_size(spool: BinaryIO, received: int, size: int | None) -> None:
    """Check the size that Batch reports: of the file as it is or, if that is compressed, of what it holds."""
    if size is None or size == received:
        return
    if not _is_compressed(spool):
        raise wrong_size(f"{received:,}", size)
    with _content(spool) as content:
        held = sum(map(len, iter(lambda: content.read(_PIECE), b"")))
    if held != size:
        raise wrong_size(f"{received:,}", size)


def _records(spool: BinaryIO, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = RecordReader(name)
    with _content(spool) as content:
        while piece := content.read(_PIECE):
            yield from reader.feed(piece)
    yield from reader.close()


@contextmanager
def _content(spool: BinaryIO) -> Iterator[BinaryIO | gzip.GzipFile]:
    """Yield the content of the file; gzip is decompressed, as Batch does not document a compression."""
    is_compressed = _is_compressed(spool)
    spool.seek(0)
    if not is_compressed:
        yield spool
        return
    try:
        with gzip.GzipFile(fileobj=spool) as content:
            yield content
    except (EOFError, gzip.BadGzipFile, zlib.error):
        damaged = BatchProtocolError("the export's file is damaged: its gzip stream is cut short or invalid.")
    else:
        return
    raise damaged


def _is_compressed(spool: BinaryIO) -> bool:
    spool.seek(0)
    return spool.read(2) == _GZIP
