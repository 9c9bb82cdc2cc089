"""
Write into README and docs/ what they take from elsewhere: ``make pages``.

The pages are plain Markdown, so that a code host, a package index and the site show the same text. What comes from the
source stands between two comments, and a test fails if it is out of date:

- ``<!-- code of example_dags/x.py: part -->``: a part of an example DAG, or all of it, with the imports that it uses.
  (A ``literalinclude`` of an example DAG becomes such a comment.)
- ``<!-- names in a.module another.Class -->``: the classes of modules, and single names, with what they are.

Links of README to this repository are absolute, because a package index has nothing else to link to. They stand at its
end, and begin with the address under ``[project.urls]`` in pyproject.toml: after a move, change it there, and run this
command.
"""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path
from textwrap import dedent, indent
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
REPOSITORY: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Source"]

_WIDTH: Final = 100
CODE: Final = re.compile(
    r"^(?P<indent> *)<!-- code of (?P<file>\S+?)(?:: (?P<part>\w+))? -->\n(?P<code>.*?)^ *<!-- end of the code -->$",
    re.MULTILINE | re.DOTALL,
)
_NAMES: Final = re.compile(
    r"^<!-- names in(?P<names>[\w.\s]+)-->\n.*?^<!-- end of the names -->$", re.MULTILINE | re.DOTALL
)
_LITERALINCLUDE: Final = re.compile(
    r"^(?P<indent> *)```\{literalinclude\} \.\./(?P<file>\S+)\n(?P<options>.*?)^ *```$", re.MULTILINE | re.DOTALL
)
_LINK: Final = re.compile(r"^(\[[^\]]+\]): (?:https://\S+?/(?:blob|tree|raw)/main/|(?!https?:))(\S+)$", re.MULTILINE)


def page(text: str) -> str:
    """Return the page *text* with everything that it takes from elsewhere as it is today."""
    text = _LITERALINCLUDE.sub(_as_comment, text)
    return _NAMES.sub(_names, CODE.sub(_code, text))


def readme(text: str) -> str:
    """Return README's *text*, in addition with absolute links to this repository."""
    return _LINK.sub(lambda link: f"{link[1]}: {address(link[2])}", page(text))


def address(path: str) -> str:
    """Return the address of a file, picture or folder of this repository, given from its root."""
    kind = "tree" if path.endswith("/") else "raw" if path.endswith(".png") else "blob"
    return f"{REPOSITORY}/{kind}/main/{path}"


def code(source: str, part: str | None = None) -> str:
    """Return a *part* of a module's *source*, or all of it without its docstring, with the imports that it uses."""
    tree = ast.parse(source)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    if part is None:
        shown = "".join(source.splitlines(keepends=True)[max(node.end_lineno or 0 for node in imports) :])
    else:
        shown = dedent(source.split(f"# [START {part}]\n", 1)[1].split(f"# [END {part}]", 1)[0].rstrip(" "))
    shown = re.sub(r"^ *# \[(?:START|END) \w+\]\n", "", shown, flags=re.MULTILINE).strip("\n")
    used = {node.id for node in ast.walk(ast.parse(shown)) if isinstance(node, ast.Name)}
    needed = [(line, _group(node)) for node in imports if (line := _import(node, used))]
    lines = ""
    for number, (line, group) in enumerate(needed):
        lines += "\n" * (number > 0 and group != needed[number - 1][1]) + line + "\n"
    return f"{lines}\n{shown}\n" if lines else f"{shown}\n"


def _import(node: ast.Import | ast.ImportFrom, used: set[str]) -> str:
    """Return the import with the *used* names only; empty text if there is none."""
    names = [name for name in node.names if (name.asname or name.name.partition(".")[0]) in used]
    if not names or (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
        return ""
    if isinstance(node, ast.Import):
        return ast.unparse(ast.Import(names))
    line = ast.unparse(ast.ImportFrom(node.module, names, 0))
    if len(line) <= _WIDTH:
        return line
    return "".join((f"from {node.module} import (\n", *(f"    {ast.unparse(name)},\n" for name in names), ")"))


def _group(node: ast.Import | ast.ImportFrom) -> bool:
    """Tell our imports from others': an empty line stands between them."""
    return isinstance(node, ast.ImportFrom) and str(node.module).startswith("airflow_provider_batch")


def _code(found: re.Match[str]) -> str:
    source = (ROOT / found["file"]).read_text("utf-8")
    begin = f"<!-- code of {found['file']}{': ' + found['part'] if found['part'] else ''} -->"
    lines = f"{begin}\n```python\n{code(source, found['part'])}```\n<!-- end of the code -->"
    return indent(lines, found["indent"])


def _as_comment(found: re.Match[str]) -> str:
    part = re.search(r"\[START (\w+)\]", found["options"])
    begin = f"<!-- code of {found['file']}{': ' + part[1] if part else ''} -->"
    return f"{found['indent']}{begin}\n{found['indent']}<!-- end of the code -->"


def _names(found: re.Match[str]) -> str:
    rows = [row for name in found["names"].split() for row in _rows(name)]
    table = "\n".join(("| name | import it from | what it is |", "|---|---|---|", *rows))
    return f"<!-- names in{found['names']}-->\n\n{table}\n\n<!-- end of the names -->"


def _rows(name: str) -> list[str]:
    """Return the rows of the classes that a module defines or offers, or that of one class or function."""
    module, _, last = name.rpartition(".")
    value = getattr(import_module(module), last, None)
    if inspect.isclass(value) or inspect.isfunction(value):
        return [_row(last, module, value)]
    offered = vars(import_module(name)).items()
    classes = ((each, cls) for each, cls in offered if inspect.isclass(cls))
    return [_row(each, name, cls) for each, cls in classes if f"{cls.__module__}.".startswith(f"{name}.")]


def _row(name: str, module: str, value: Any) -> str:
    first = " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split()).rstrip(":")
    plain = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", first).replace("``", "`")
    return f"| `{name}` | `{module}` | {plain} |"


def main() -> None:
    """Write every page anew that is out of date."""
    for path in PAGES:
        text = path.read_text("utf-8")
        written = readme(text) if path.name == "README.md" else page(text)
        if written != text:
            path.write_text(written, "utf-8")
            print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
