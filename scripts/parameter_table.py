"""Write the table of parameters and modes into the documentation: ``make parameters``."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any, Final

from airflow_provider_batch.tasks.parameters import USES, modes
from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator
from airflow_provider_batch.transfers.sql_to_profiles import SqlToProfilesOperator

BEGIN: Final = "<!-- begin of the generated table: make parameters -->"
BEGIN_PROFILES: Final = "<!-- begin of the generated table of profiles: make parameters -->"
#: The operator of each table, by the mark above it.
_TABLES: Final = {BEGIN: SqlToCustomAudienceOperator, BEGIN_PROFILES: SqlToProfilesOperator}
#: What selects the column, and what is the source.
_APART: Final = ("mode", "sql", "conn_id", "parameters", "hook_params")
#: What is not for all operators with a mode, or not with all other parameters.
_ONLY: Final = {
    "snapshot_path": "no `snapshot_schema`",
    "is_sorted": "no `snapshot_schema`",
    "trim_ids": "no `snapshot_schema`",
    "snapshot_schema": "a query, and no `snapshot_path`",
    "keep_changes": "`snapshot_schema`",
}
END: Final = "<!-- end of the generated table -->"


def table(operator: Any = SqlToCustomAudienceOperator) -> str:
    """Return the table of an operator's parameters as Markdown."""
    parameters = inspect.signature(operator).parameters.values()
    named = [each for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY and each.name not in _APART]
    names = {each.name for each in parameters}
    head = ["parameter", "default", *(f"`{mode}`" for mode in modes(operator)), "if"]
    rows = [
        [
            f"`{each.name}`",
            _default(each),
            *(_cell(each.name, mode, names) for mode in modes(operator)),
            _if(each.name, names),
        ]
        for each in named
    ]
    lines = [head, ["---", "---", *[":-:"] * len(modes(operator)), "---"], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(text: str) -> str:
    """Return the page with each table between its two marks."""
    for begin, operator in _TABLES.items():
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n\n{table(operator)}\n\n{END}{rest.partition(END)[2]}"
    return text


def _default(parameter: inspect.Parameter) -> str:
    if parameter.name == "deferrable":
        return "Airflow's `default_deferrable`"
    return "" if parameter.default is inspect.Parameter.empty else f"`{parameter.default!r}`"


def _uses(name: str, names: set[str]) -> list[dict[str, tuple[object, ...]]]:
    # What only some operators have is explained beside the table.
    return [{other: use[other] for other in use if other in names} for named, use in USES if name in named]


def _cell(name: str, mode: str, names: set[str]) -> str:
    unmet = [use for use in _uses(name, names) if mode not in use.get("mode", ())]
    if any(use.keys() == {"mode"} for use in unmet):
        return ""
    return "(✓)" if unmet else "✓"


def _if(name: str, names: set[str]) -> str:
    if "audience_name" not in names:  # no mode of profiles has a condition
        return _ONLY.get(name, "")
    others = {
        f"`{other}={value!r}`": None
        for use in _uses(name, names)
        for other in use
        for value in use[other]
        if other != "mode"
    }
    return " or ".join(others) or _ONLY.get(name, "")


def main(path: Path) -> None:
    """Write the table into the page at *path*."""
    path.write_text(page(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
