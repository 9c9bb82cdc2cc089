"""
For `make mutants` alone: names of tests that stay the same when one process collects them again.

pytest escapes the values in them, and escapes them once more in each further collection.
"""

from __future__ import annotations

import re


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name texts and bytes without a backslash, and leave the rest to pytest."""
    text = val.pattern if isinstance(val, re.Pattern) else val
    return ascii(text).replace("\\", "/") if isinstance(text, str | bytes) else None
