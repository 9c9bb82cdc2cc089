"""The names, words and addresses in the package; each test lists all offenders, by file and line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import airflow_provider_batch

#: The folders and modules whose sentences follow the rules for words; add to them what is clean.
CLEAN = (
    "sandbox",
    "protocol",
    "push",
    "transport",
    "triggers",
    "hooks",
    "tasks",
    "sensors",
    "mirror",
    "results",
    "sources",
    "exceptions",
    "operators",
    "transfers",
    "decorators",
    "assets",
    "links",
    "retries",
)

PACKAGE = Path(airflow_provider_batch.__file__).parent
TEXTS = {
    str(path.relative_to(PACKAGE)): path.read_text("utf-8")
    for path in sorted(PACKAGE.rglob("*"))
    if path.suffix in {".py", ".html"}
}
MODULES = {name: ast.parse(text) for name, text in TEXTS.items() if name.endswith(".py")}

_EMPTY_WORD = re.compile(r"(^|_)(payload|handler|manager|utils?|helpers?)($|_)")
_ALLOWED = {
    *("to_payload", "from_payload", "payload"),  # Airflow's own word for what a trigger's event carries
    *("proxy_manager_for", "proxy_manager"),  # requests' and urllib3's own
}
_SLICE_NAMED_BATCH = r"\b(batch_size|batches|batch_number|per_batch|a batch|each batch|every batch)\b"
_UNCLEAR = (
    r"[«»]"
    r"|\bReturn (?:if|that) "
    r"|\b(?:on no page|no page says)\b"
    r"|(?<![Tt]here )\b(?:is|are) no\b(?! longer\b)"
    r"|\b(?:tells?|told|says?|said|likewise|learnt|spelt|spelling|blotted)\b"
    r"|\b(?:may pass|in earnest)\b"
)


def room(name: str) -> str:
    """Return the folder of the package that the file is in, or the name of its module."""
    return name.partition("/")[0].removesuffix(".py")


def found(pattern: str, name: str) -> list[str]:
    """Return what matches *pattern* in the file, each as ``file:line: match``."""
    return [
        f"{name}:{number}: {match[0]}"
        for number, line in enumerate(TEXTS[name].splitlines(), 1)
        for match in re.finditer(pattern, line)
    ]


def definitions(tree: ast.Module) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield each public class and function with its dotted name."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if not child.name.startswith("_"):
                    yield f"{prefix}{child.name}", child
                    if isinstance(child, ast.ClassDef):
                        yield from walk(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.If | ast.Try):
                yield from walk(child, prefix)

    yield from walk(tree, "")


def report(offenders: Iterable[str]) -> None:
    """Fail with one line for each offender; pytest itself would shorten the list."""
    lines = list(offenders)
    assert not lines, "\n" + "\n".join(lines)


def test_everything_public_has_a_docstring() -> None:
    protocols = {"AirflowConnection.password", "AirflowConnection.extra", "Delay.__call__"}
    report(f"{name}: the module" for name, tree in MODULES.items() if tree.body and not ast.get_docstring(tree))
    report(
        f"{name}:{node.lineno}: {dotted}"
        for name, tree in MODULES.items()
        for dotted, node in definitions(tree)
        if dotted not in protocols and not ast.get_docstring(node)
    )


def test_no_name_is_an_empty_word() -> None:
    report(name for name in MODULES if _EMPTY_WORD.search(Path(name).stem))
    report(
        f"{name}:{getattr(node, 'lineno', '?')}: {word}"
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        for word in (getattr(node, field, None) for field in ("name", "id", "arg", "attr"))
        if isinstance(word, str) and _EMPTY_WORD.search(word.lower()) and word not in _ALLOWED
    )


def test_a_slice_of_ids_is_a_chunk() -> None:
    report(offender for name in MODULES for offender in found(_SLICE_NAMED_BATCH, name))


def test_sentences_follow_the_rules_for_words() -> None:
    clean = [name for name in TEXTS if room(name) in CLEAN]
    assert {room(name) for name in clean} == set(CLEAN)  # each of them exists
    report(offender for name in clean for offender in found(_UNCLEAR, name))


def test_no_host_of_batch_except_its_api_and_pages_is_named() -> None:
    allowed = {"api.batch.com", "doc.batch.com"}
    also = {
        "__init__.py": {"batch.com"},  # the service's name in the provider's description links to its front page
        "transport/settings.py": {"dashboard.batch.com"},  # where a link leads
    }
    report(
        offender
        for name in TEXTS
        for offender in found(r"\b(?:[a-z0-9-]+\.)*batch\.com\b", name)
        if offender.rpartition(": ")[2] not in allowed | also.get(name, set())
    )


def test_the_api_itself_is_named_in_one_place() -> None:
    assert [name for name in MODULES if found(r'= "https://api\.batch\.com"', name)] == ["transport/settings.py"]
