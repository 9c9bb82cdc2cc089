"""The words and addresses of the package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_batch

PACKAGE = Path(airflow_provider_batch.__file__).parent
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "sandbox" not in path.parts)
ALL_FILES = sorted(path for path in PACKAGE.rglob("*") if path.suffix in {".py", ".html"})

_NOT_OURS = re.compile(r"(^|_)(payload|handler|manager|utils?|helpers?)($|_)")
_ALLOWED = {"to_payload", "from_payload", "payload"}  # an event of a trigger has one, in Airflow's own words


def named(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def definitions(tree: ast.Module) -> Iterator[tuple[str, ast.AST, bool]]:
    """Each class and function with its dotted name, and whether it is public."""

    def walk(node: ast.AST, prefix: str, public: bool) -> Iterator[tuple[str, ast.AST, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                is_public = public and not child.name.startswith("_")
                yield f"{prefix}{child.name}", child, is_public
                if isinstance(child, ast.ClassDef):
                    yield from walk(child, f"{prefix}{child.name}.", is_public)
            elif isinstance(child, ast.If | ast.Try):
                yield from walk(child, prefix, public)

    yield from walk(tree, "", True)


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_everything_public_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    if tree.body:
        assert ast.get_docstring(tree), "the module itself"
    protocols = {"AirflowConnection.password", "Delay.__call__"}
    missing = [
        name
        for name, node, public in definitions(tree)
        if public and name not in protocols and not ast.get_docstring(node)  # type: ignore[arg-type]
    ]
    assert missing == []


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_words_that_say_nothing_are_not_used(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    words = {
        getattr(node, field)
        for node in ast.walk(tree)
        for field in ("name", "id", "arg", "attr")
        if hasattr(node, field)
    }
    assert [
        word for word in sorted(filter(None, words)) if _NOT_OURS.search(word.lower()) and word not in _ALLOWED
    ] == []
    assert not _NOT_OURS.search(path.stem)


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_slice_of_ids_is_a_chunk(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.findall(r"\b(batch_size|batches|batch_number|per_batch|a batch|each batch|every batch)\b", text) == []


@pytest.mark.parametrize("path", ALL_FILES, ids=named)
def test_no_host_of_batchs_but_the_api_and_its_pages_is_named(path: Path) -> None:
    hosts = set(re.findall(r"\b((?:[a-z0-9-]+\.)*batch\.com)\b", path.read_text("utf-8")))
    # The name of the service in the provider's description links to its front page.
    allowed = {"api.batch.com", "doc.batch.com"} | ({"batch.com"} if path.name == "__init__.py" else set())
    if named(path) == "transport/settings.py":  # where a link leads
        allowed.add("dashboard.batch.com")
    assert hosts <= allowed


def test_the_api_itself_is_named_in_one_place() -> None:
    holders = [named(path) for path in SOURCES if re.search(r'= "https://api\.batch\.com"', path.read_text("utf-8"))]
    assert holders == ["transport/settings.py"]
