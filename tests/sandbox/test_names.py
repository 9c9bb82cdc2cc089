from __future__ import annotations

import pytest

from airflow_provider_batch.sandbox.names import parse_audience


def test_a_name_alone_means_custom_ids() -> None:
    assert parse_audience("vip") == parse_audience("vip:custom_ids") == ("vip", "custom_ids")
    assert parse_audience("phones:install_ids") == ("phones", "install_ids")


@pytest.mark.parametrize("wrong", ["", ":custom_ids", "vip:", "vip:emails", "v p:custom_ids", "vip:custom_ids:x"])
def test_anything_else_is_rejected(wrong: str) -> None:
    with pytest.raises(ValueError, match="audience name"):
        parse_audience(wrong)
