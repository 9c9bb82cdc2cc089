"""What the pages say is complete: no class, parameter, limit, error or field of a connection without a page."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from write_pages import CODE, REPOSITORY

from airflow_provider_batch import exceptions, get_provider_info
from airflow_provider_batch.assets.custom_audience import custom_audience_asset
from airflow_provider_batch.assets.profiles import profiles_asset
from airflow_provider_batch.decorators.custom_audience import CustomAudienceDecoratedOperator
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.mirror.status import Generation, IdStatus, MirrorStatus
from airflow_provider_batch.protocol import limits
from airflow_provider_batch.protocol.audiences.audience import (
    CreatedAudience,
    CustomAudience,
    DeletedAudience,
    IndexingOutcome,
    IndexingState,
)
from airflow_provider_batch.protocol.audiences.members import Change, Member
from airflow_provider_batch.protocol.audiences.results import MirrorResult, PushResult
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.retries import batch_retry_policy
from airflow_provider_batch.sandbox import Sandbox
from airflow_provider_batch.triggers.custom_audience import CustomAudienceIndexingTrigger
from tests.conftest import EXAMPLE_DAGS
from tests.docs.pages import DOCS, PAGES, README, ROOT, links, named

NAMED = named()
PROVIDER = get_provider_info()

#: What the hook gives and takes.
VALUES = (
    Member,
    Change,
    PushResult,
    MirrorResult,
    MirrorStatus,
    Generation,
    IdStatus,
    Rejection,
    CustomAudience,
    IndexingState,
    CreatedAudience,
    DeletedAudience,
    IndexingOutcome,
)


def classes_of(module: Any) -> list[type]:
    """Return the public classes that *module* defines."""
    found = inspect.getmembers(module, inspect.isclass)
    return [cls for name, cls in found if cls.__module__ == module.__name__ and not name.startswith("_")]


def declared_modules() -> Iterator[str]:
    """Yield the modules that the provider declares to Airflow."""
    for kind in ("hooks", "operators", "sensors"):
        for entry in PROVIDER[kind]:
            yield from entry["python-modules"]
    for transfer in PROVIDER.get("transfers", ()):
        yield transfer["python-module"]


_DECLARED = [cls for module in declared_modules() for cls in classes_of(import_module(module))]
#: Those that are for DAG files: no other one is made of them.
DECLARED = [cls for cls in _DECLARED if not any(issubclass(other, cls) for other in _DECLARED if other is not cls)]
TRIGGERS = [
    cls
    for entry in PROVIDER["triggers"]
    for module in entry["python-modules"]
    for cls in classes_of(import_module(module))
]
ERRORS = classes_of(exceptions)

#: What DAG files call beside the classes.
FUNCTIONS = (custom_audience_asset, profiles_asset, batch_retry_policy)

#: What a decorator fills in, and what Airflow asks a hook's class.
NOT_FOR_DAG_FILES = {"python_callable", "op_args", "op_kwargs", "get_connection_form_widgets", "get_ui_field_behaviour"}


def arguments(call: Any) -> set[str]:
    """Return the names that *call* can be given."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(call).parameters.items()
    return {name for name, parameter in parameters if name != "self" and parameter.kind not in variadic}


@pytest.mark.parametrize("cls", [*DECLARED, *TRIGGERS, *ERRORS, *VALUES, Sandbox], ids=lambda cls: cls.__name__)
def test_a_public_class_is_on_a_page(cls: type) -> None:
    assert cls.__name__ in NAMED


def test_what_else_is_declared_to_airflow_is_on_a_page() -> None:
    declared = [*PROVIDER["extra-links"], *(entry["class-name"] for entry in PROVIDER["task-decorators"])]
    declared += [entry["factory"] for entry in PROVIDER["asset-uris"]]
    assert {path.rpartition(".")[2] for path in declared} - NAMED == set()
    assert [found for entry in PROVIDER["task-decorators"] if (found := f"task.{entry['name']}") not in NAMED] == []


@pytest.mark.parametrize("cls", [*DECLARED, CustomAudienceDecoratedOperator, Sandbox], ids=lambda cls: cls.__name__)
def test_its_parameters_are_on_a_page(cls: type) -> None:
    assert sorted(arguments(cls) - NAMED - NOT_FOR_DAG_FILES) == []


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_a_public_function_and_its_parameters_are_on_a_page(function: Any) -> None:
    assert sorted({function.__name__, *arguments(function)} - NAMED) == []


def test_the_hooks_methods_and_their_parameters_are_on_a_page() -> None:
    ours = [base for base in BatchHook.__mro__ if base.__module__.startswith("airflow_provider_batch.")]
    members = {name: member for base in ours for name, member in vars(base).items() if not name.startswith("_")}
    others = {name for name, member in members.items() if isinstance(member, property | classmethod | staticmethod)}
    public = {name: arguments(member) for name, member in members.items() if inspect.isfunction(member)}
    assert sorted((public.keys() | others) - NAMED - NOT_FOR_DAG_FILES) == []
    assert {name: sorted(missing) for name, given in public.items() if (missing := given - NAMED)} == {}


@pytest.mark.parametrize(
    "cls",
    [*(cls for cls in DECLARED if cls is not BatchHook), CustomAudienceIndexingTrigger],
    ids=lambda cls: cls.__name__,
)
def test_its_parameters_are_in_its_docstring_or_in_one_that_it_names(cls: type) -> None:
    classes = [cls]
    for each in classes:
        for found in re.findall(r":class:`~?([\w.]+)`", each.__doc__ or ""):
            module, _, name = found.rpartition(".")
            other = getattr(import_module(module or each.__module__), name)
            classes += [] if other in classes else [other]
    docstrings = "\n".join(each.__doc__ or "" for each in classes)
    described = set(re.findall(r"^\s*:param (\w+):", docstrings, re.MULTILINE))
    assert sorted(arguments(cls) - described) == []


def test_every_field_of_the_connection_has_a_row() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "connection.md").read_text("utf-8"), re.MULTILINE))
    assert set(PROVIDER["connection-types"][0]["conn-fields"]) <= rows


def limits_with_their_pages() -> Iterator[tuple[str, object, list[str]]]:
    """Yield each number and alphabet of Batch, and the addresses in the comment above it."""
    source = Path(limits.__file__).read_text("utf-8")
    for comment, names in re.findall(r"((?:^#.*\n)+)((?:^\w+: Final.*\n)+)", source, re.MULTILINE):
        for name in re.findall(r"^(\w+): Final", names, re.MULTILINE):
            yield name, getattr(limits, name), re.findall(r"https://[^\s,]+[^\s,.:]", comment)


def test_every_limit_of_batchs_has_a_comment_right_above_it() -> None:
    assert {name for name, _, _ in limits_with_their_pages()} == {name for name in vars(limits) if name.isupper()}


@pytest.mark.parametrize(("name", "value", "sources"), list(limits_with_their_pages()))
def test_a_limit_of_batchs_is_on_its_page_with_its_source(name: str, value: object, sources: list[str]) -> None:
    if value == limits.NO_LIMIT or isinstance(value, re.Pattern):  # a pattern stands beside its rule in words
        return
    page = (DOCS / ("errors.md" if value is limits.ERROR_NAMES else "limits.md")).read_text("utf-8")
    for each in value.values() if isinstance(value, dict) else [value]:
        assert re.search(rf"\b{each:,}\b" if isinstance(each, int) else re.escape(str(each)), page), name
    assert [source for source in sources if source not in page] == []


def test_every_error_has_a_row() -> None:
    rows = re.findall(r"^\| `(\w+)`", (DOCS / "errors.md").read_text("utf-8"), re.MULTILINE)
    assert {cls.__name__ for cls in ERRORS} - set(rows) == set()


def test_every_message_that_errors_md_explains_is_one_of_ours() -> None:
    table = (DOCS / "errors.md").read_text("utf-8").partition("## From message to remedy")[2].partition("\n## ")[0]
    cells = [
        line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `") and "Airflow's own" not in line
    ]
    parts = [part.strip() for cell in cells for shown in re.findall(r"`([^`]+)`", cell) for part in shown.split("…")]
    ours = "\n".join(path.read_text("utf-8") for path in (ROOT / "airflow_provider_batch").rglob("*.py"))
    ours = ours.replace("\\'", "'")
    joined = re.sub(r"""["']\n\s*f?["']""", "", ours)  # a long message is several literals
    spelled = re.sub(r"\{[^{}]*\}", "", joined)
    assert len(parts) > 40
    assert [
        part for part in parts if part not in joined and part not in spelled and not re.match(r"answered \d+", part)
    ] == []


def test_every_option_of_the_sandbox_is_on_its_page() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow_provider_batch.sandbox", "--help"], capture_output=True, text=True, check=True
    )
    page = (DOCS / "testing.md").read_text("utf-8")
    assert [option for option in set(re.findall(r"--[\w-]+", done.stdout)) - {"--help"} if option not in page] == []


def test_every_target_of_make_is_on_the_contributors_page() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert [target for target in targets if target not in ("help", "clean") and f"`make {target}`" not in page] == []


def test_every_part_of_the_package_is_on_the_map_of_the_house() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    parts = {path.name + "/" * path.is_dir() for path in (ROOT / "airflow_provider_batch").iterdir()}
    assert {part for part in parts if not part.startswith("__")} - {"py.typed"} - set(
        re.findall(r"`(\S+)`", page)
    ) == set()


@pytest.mark.parametrize(("page", "target"), list(links()))
def test_what_a_page_links_to_is_there(page: Path, target: str) -> None:
    file, _, heading = target.partition("#")
    path = page.parent / file if file else page
    assert path.exists()
    if heading:
        titles = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
        assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_readme_has_no_link_that_a_package_index_cannot_follow() -> None:
    text = README.read_text("utf-8")
    assert re.findall(r"\]\((?!https://)[^)]+\)", text) == []
    defined = {label.lower(): target for label, target in re.findall(r"^\[([^\]]+)\]: (\S+)$", text, re.MULTILINE)}
    assert [target for target in defined.values() if not target.startswith("https://")] == []
    body = re.sub(r"^\[[^\]]+\]: .*$|```.*?^```|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)
    used = {label or text for text, label in re.findall(r"\[([^\]]+)\](?:\[([^\]]+)\])?", " ".join(body.split()))}
    assert {label.lower() for label in used} == defined.keys()


def test_the_project_names_its_repository_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert [name for name, url in project["urls"].items() if not url.startswith(REPOSITORY)] == []
    files = [re.sub(rf"{REPOSITORY}/(?:blob|tree)/main/", "", url) for url in project["urls"].values()]
    assert [file for file in files if "://" not in file and not (ROOT / file).exists()] == []
    others = {
        url
        for page in PAGES
        for url in re.findall(r"https://github\.com/[\w-]+/airflow-provider-batch", page.read_text("utf-8"))
    }
    assert others <= {REPOSITORY}


def test_every_marked_part_of_an_example_dag_is_on_a_page() -> None:
    shown = {found["part"] for page in PAGES for found in CODE.finditer(page.read_text("utf-8"))}
    marked = {
        mark for path in EXAMPLE_DAGS.glob("*.py") for mark in re.findall(r"\[START (\w+)\]", path.read_text("utf-8"))
    }
    assert marked - shown == set()


def test_every_page_is_in_the_navigation() -> None:
    index = (DOCS / "index.md").read_text("utf-8")
    listed = set(re.findall(r"^([\w-]+)$", index, re.MULTILINE))
    assert {page.stem for page in DOCS.glob("*.md")} - {"index"} == listed


def test_the_readme_is_short() -> None:
    lines = README.read_text("utf-8").splitlines()
    assert sum(not re.match(r"\[[^]]+\]: ", line) for line in lines) <= 135
