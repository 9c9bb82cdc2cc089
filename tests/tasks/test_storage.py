from __future__ import annotations

import pytest

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.tasks.storage import storage_path


@pytest.mark.parametrize("rendered", ["", "  ", "None"])
def test_what_a_template_without_a_value_renders_to_is_no_path(rendered: str) -> None:
    with pytest.raises(SourceError, match="is not a path, but what a template without a value renders to"):
        storage_path(rendered)
