from __future__ import annotations

import pytest

from airflow_provider_batch.sandbox.names import audience_of


def test_a_name_alone_means_custom_ids() -> None:
    assert audience_of("vip") == audience_of("vip:custom_ids") == ("vip", "custom_ids")
    assert audience_of("phones:install_ids") == ("phones", "install_ids")


@pytest.mark.parametrize("wrong", ["", ":custom_ids", "vip:", "vip:emails", "v p:custom_ids", "vip:custom_ids:x"])
def test_anything_else_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="audience name"):
        audience_of(wrong)
