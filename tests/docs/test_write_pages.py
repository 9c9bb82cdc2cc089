"""What README and docs/ take from elsewhere is as it is today, and a code host shows all of it."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path
from textwrap import dedent

import pytest
from write_pages import CODE, REPOSITORY, code, page, readme

from tests.docs.pages import PAGES, README

SOURCE = '''"""A DAG."""

from __future__ import annotations

from datetime import date, timedelta
import pendulum
from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor

# [START howto_day]
DAY = timedelta(days=1)
# [END howto_day]
START = pendulum.datetime(2026, 1, 1)
'''


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_what_it_takes_from_elsewhere_as_it_is_today(path: Path) -> None:
    text = path.read_text("utf-8")
    assert (readme(text) if path == README else page(text)) == text, "run: make pages"


def test_a_part_has_the_imports_that_it_uses_and_no_other() -> None:
    assert code(SOURCE, "howto_day") == "from datetime import timedelta\n\nDAY = timedelta(days=1)\n"


def test_a_whole_file_has_neither_its_docstring_nor_the_marks_of_its_parts() -> None:
    imports = "from datetime import timedelta\nimport pendulum\n"
    assert code(SOURCE) == f"{imports}\nDAY = timedelta(days=1)\nSTART = pendulum.datetime(2026, 1, 1)\n"


@pytest.mark.parametrize(
    "shown", sorted({found["code"] for path in PAGES for found in CODE.finditer(path.read_text("utf-8"))})
)
def test_code_on_a_page_has_all_of_its_names(shown: str) -> None:
    tree = ast.parse(dedent(shown).removeprefix("```python\n").removesuffix("```\n"))
    nodes = list(ast.walk(tree))
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    bound |= {node.asname or node.name.partition(".")[0] for node in nodes if isinstance(node, ast.alias)}
    used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    assert used - bound - set(vars(builtins)) == set()


def test_a_literalinclude_becomes_code() -> None:
    file = "example_dags/example_custom_audience_update.py"
    part = "howto_custom_audience_update"
    directive = f'```{{literalinclude}} ../{file}\n:start-after: "[START {part}]"\n:end-before: "[END {part}]"\n```\n'
    assert page(directive).startswith(f"<!-- code of {file}: {part} -->\n```python\nimport pendulum\n")
    assert page(page(directive)) == page(directive)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[tutorial]: docs/tutorial.md", f"[tutorial]: {REPOSITORY}/blob/main/docs/tutorial.md"),
        ("[tutorial]: https://code.example/old/name/blob/main/a.md", f"[tutorial]: {REPOSITORY}/blob/main/a.md"),
        ("[examples]: example_dags/", f"[examples]: {REPOSITORY}/tree/main/example_dags/"),
        ("[a run]: docs/images/graph.png", f"[a run]: {REPOSITORY}/raw/main/docs/images/graph.png"),
        ("[Batch]: https://batch.com/", "[Batch]: https://batch.com/"),
    ],
)
def test_links_of_the_readme_follow_one_setting(before: str, after: str) -> None:
    assert readme(before) == after


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_is_plain_markdown(path: Path) -> None:
    shown = re.sub(r"^<!-- site\n.*?^-->$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^ *(?:`{3,}|:{3,})\{.*|\{(?:doc|ref|class|func|meth)\}`.*", shown, re.MULTILINE) == []
