"""Write the table of parameters and modes into the documentation: ``make parameters``."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Final

from airflow_provider_batch.protocol.arguments import CHOICES
from airflow_provider_batch.tasks.parameters import USES
from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator

BEGIN: Final = "<!-- begin of the generated table: make parameters -->"
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


def table() -> str:
    """Return the table as Markdown."""
    parameters = inspect.signature(SqlToCustomAudienceOperator).parameters.values()
    named = [each for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY and each.name not in _APART]
    modes = CHOICES["mode"]
    head = ["parameter", "default", *(f"`{mode}`" for mode in modes), "if"]
    rows = [
        [f"`{each.name}`", _default(each), *(_cell(each.name, mode) for mode in modes), _if(each.name)]
        for each in named
    ]
    lines = [head, ["---", "---", *[":-:"] * len(modes), "---"], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(text: str) -> str:
    """Return the page with the table between the two marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


def _default(parameter: inspect.Parameter) -> str:
    if parameter.name == "deferrable":
        return "Airflow's `default_deferrable`"
    return "" if parameter.default is inspect.Parameter.empty else f"`{parameter.default!r}`"


def _uses(name: str) -> list[dict[str, tuple[object, ...]]]:
    # What only some operators have is explained beside the table.
    return [{other: use[other] for other in use if other != "format"} for names, use in USES if name in names]


def _cell(name: str, mode: str) -> str:
    unmet = [use for use in _uses(name) if mode not in use.get("mode", ())]
    if any(use.keys() == {"mode"} for use in unmet):
        return ""
    return "(✓)" if unmet else "✓"


def _if(name: str) -> str:
    others = {
        f"`{other}={value!r}`": None for use in _uses(name) for other in use for value in use[other] if other != "mode"
    }
    return " or ".join(others) or _ONLY.get(name, "")


def main(path: Path) -> None:
    """Write the table into the page at *path*."""
    path.write_text(page(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
