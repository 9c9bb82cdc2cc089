"""The attributes of a project's profiles as an Airflow asset, or dataset on Airflow 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_batch.assets.custom_audience import ATTRIBUTES, custom_audience_asset

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset


def profiles_asset(batch_conn_id: str = "batch_default", *, extra: dict[str, Any] | None = None) -> Asset:
    """
    Return the asset ``batch://<connection id>/profiles/attributes``, whose name is its URI; a dataset on Airflow 2.

    As an outlet of an operator that writes attributes of profiles, it emits its event once Batch has accepted all of
    them. Airflow renders no templates in assets, so a template in an argument stays as it is.

    :param batch_conn_id: id of the Airflow connection to the project.
    :param extra: stored with the asset.
    :raises ValueError: if the connection's id is not valid.
    """
    return custom_audience_asset(ATTRIBUTES, batch_conn_id, extra=extra)
