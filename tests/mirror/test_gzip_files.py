from __future__ import annotations

import gzip
import importlib.util
import io
import sys
from types import ModuleType

import pytest

from airflow_provider_batch.mirror import gzip_files

TEXT = "".join(f"{number * 7919 % 100_003:08x}\n" for number in range(100_000)).encode()
WAYS = ["isal", "zlib"]


@pytest.fixture(scope="module")
def modules() -> dict[str, ModuleType]:
    """The module as it is with ISA-L, and as it is without."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for way in WAYS:
            if way == "zlib":
                patch.setitem(sys.modules, "isal", None)
            spec = importlib.util.spec_from_file_location(f"by_{way}", gzip_files.__file__)
            assert spec is not None
            assert spec.loader is not None
            found[way] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(found[way])
    return found


def written(module: ModuleType) -> bytes:
    compressor = module.compressor()
    parts = [compressor.compress(TEXT[start : start + 30_000]) for start in range(0, len(TEXT), 30_000)]
    return b"".join([*parts, compressor.flush()])


def read(module: ModuleType, content: bytes) -> bytes:
    with io.BytesIO(content) as file, module.decompressed(file) as decompressed:
        found: bytes = decompressed.read()
        return found


def test_isal_is_used_if_it_is_installed(modules: dict[str, ModuleType]) -> None:
    isal, zlib = (type(modules[way].compressor()).__module__ for way in WAYS)
    assert (isal, zlib) == ("isal_zlib", "zlib")


@pytest.mark.parametrize("writer", WAYS)
@pytest.mark.parametrize("reader", WAYS)
def test_each_reads_what_the_other_has_written(modules: dict[str, ModuleType], writer: str, reader: str) -> None:
    content = written(modules[writer])
    assert len(content) < len(TEXT) / 1.5
    assert read(modules[reader], content) == gzip.decompress(content) == TEXT
    assert read(modules[reader], gzip.compress(b"{}\n") + content) == b"{}\n" + TEXT


@pytest.mark.parametrize("way", WAYS)
def test_a_file_has_neither_a_name_nor_a_time_in_it(modules: dict[str, ModuleType], way: str) -> None:
    header = written(modules[way])[:10]
    assert header[:8] == b"\x1f\x8b\x08\0\0\0\0\0"  # gzip, deflate, no name, no time


@pytest.mark.parametrize("writer", WAYS)
@pytest.mark.parametrize("reader", WAYS)
def test_a_damaged_file_is_not_read(modules: dict[str, ModuleType], writer: str, reader: str) -> None:
    content = written(modules[writer])
    changed = bytearray(content)
    changed[len(content) // 2] ^= 0xFF
    for damaged in (content[:-1], content[:9_000], bytes(changed), content[:-8] + bytes(8), b"id-1\nid-2\n" * 9):
        with pytest.raises(modules[reader].UNREADABLE):
            read(modules[reader], damaged)
