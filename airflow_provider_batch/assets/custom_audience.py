"""A custom audience as an asset of Airflow, which earlier versions call a dataset."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_batch.protocol.limits import AUDIENCE_NAME, AUDIENCE_NAME_RULE

if TYPE_CHECKING:
    from urllib.parse import SplitResult

#: What the address of an audience begins with.
SCHEME: Final = "batch"

#: The ids that Airflow's own API takes for a connection.
_CONNECTION_ID: Final = re.compile(r"[\w.-]+", re.ASCII)


def custom_audience_asset(
    audience_name: str, batch_conn_id: str = "batch_default", *, extra: dict[str, Any] | None = None
) -> Asset:
    """
    Return the asset ``batch://<connection id>/<audience>``, named by its address; a dataset on Airflow 2.

    As an outlet of the sensor, or of an operator that waits, its event says that the audience is indexed. Airflow
    renders no templates in assets: one in an argument stays as it is.

    :param audience_name: letters, digits, ``_`` and ``-``, at most 255.
    :param batch_conn_id: id of the Airflow connection that the audience is reached with.
    :param extra: whatever is to be kept with the asset.
    :raises ValueError: if there cannot be such an audience or connection.
    """
    for name, value in (("audience_name", audience_name), ("batch_conn_id", batch_conn_id)):
        if not isinstance(value, str):
            raise ValueError(f"{name}: a value of type {type(value).__name__} is no name")
    address = f"{SCHEME}://{batch_conn_id}/{audience_name}"
    _check(address, batch_conn_id, audience_name)
    # Airflow 3 would take the address as it was before it was made tidy for the name.
    named: dict[str, Any] = {"name": address} if Asset.__name__ == "Asset" else {}
    asset: Asset = Asset(uri=address, extra=extra, **named)
    return asset


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """
    Return *uri* if it is the address of an audience; called by Airflow for every asset with our scheme.

    :raises ValueError: if it is not, which fails the DAG file on Airflow 3 and warns on Airflow 2.
    """
    _check(uri.geturl(), uri.netloc, uri.path.removeprefix("/"))
    if (uri.query or uri.fragment) and not _is_template(uri.geturl()):
        raise ValueError(f"an audience's address is {SCHEME}://<connection id>/<audience>, without query and fragment")
    return uri


def convert_asset_to_openlineage(asset: Asset, lineage_context: object) -> Any:
    """Return the audience as OpenLineage knows it: its connection is the namespace."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    namespace, _, audience_name = asset.uri.rpartition("/")
    return Dataset(namespace=namespace, name=audience_name)


def _check(address: str, batch_conn_id: str, audience_name: str) -> None:
    # Neither message quotes what may be a key.
    if "@" in batch_conn_id or ":" in batch_conn_id:
        raise ValueError("an audience's address must not have credentials: it begins with the id of the connection")
    if _is_template(address):
        return
    if not _CONNECTION_ID.fullmatch(batch_conn_id):
        raise ValueError(
            f"an audience's address is {SCHEME}://<connection id>/<audience>; the connection's id must be of letters "
            "a-z A-Z, digits, '_', '-' or '.'"
        )
    if not AUDIENCE_NAME.fullmatch(audience_name):
        raise ValueError(
            f"an audience's address is {SCHEME}://<connection id>/<audience>; the audience must be {AUDIENCE_NAME_RULE}"
        )


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text
