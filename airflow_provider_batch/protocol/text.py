"""A list that a template has turned into text -> the list."""

from __future__ import annotations

import ast
import json
from typing import Final

from airflow_provider_batch.exceptions import InvalidArgumentError

_NATIVE_ADVICE: Final = "pass the upstream task's .output, or set render_template_as_native_obj=True on the DAG"


def list_in_text(text: str, argument: str) -> list[object]:
    """Read the list that a Jinja template without native rendering turned into *text*: its characters are no ids."""
    for parse in (json.loads, ast.literal_eval) if text.lstrip().startswith("[") else ():
        try:
            values = parse(text.strip())
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(values, list):
            return values
    missing = " (the text 'None': the XCom it was rendered from is missing)" if text.strip() == "None" else ""
    raise InvalidArgumentError(f"{argument}: a single text is not a list of ids{missing}; {_NATIVE_ADVICE}")
