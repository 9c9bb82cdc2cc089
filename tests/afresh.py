"""Modules made once more, by the test that looks at what they make while they are imported."""

from __future__ import annotations

from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any


def afresh(module: ModuleType) -> Any:
    """Return *module*, made by whatever its functions are now: a mutant begins to live after the imports."""
    spec = find_spec(module.__name__)
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    spec.loader.exec_module(made)
    return made
