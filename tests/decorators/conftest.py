"""What an operator meets when a worker runs it."""

from __future__ import annotations

from tests.operators.conftest import context, store, ti

__all__ = ["context", "store", "ti"]
