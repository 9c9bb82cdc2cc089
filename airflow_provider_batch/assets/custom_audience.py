"""A custom audience as an Airflow asset, or dataset on Airflow 2."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_batch.protocol.limits import AUDIENCE_NAME, AUDIENCE_NAME_RULE

if TYPE_CHECKING:
    from urllib.parse import SplitResult

#: The scheme of an audience's URI.
SCHEME: Final = "batch"
#: In place of an audience's name, what lineage calls the attributes of all profiles; no audience can have that name.
ATTRIBUTES: Final = "profiles/attributes"
_FORM: Final = f"{SCHEME}://<connection id>/<audience>"

#: The connection ids that Airflow's own API accepts.
_CONNECTION_ID: Final = re.compile(r"[\w.-]+", re.ASCII)


def custom_audience_asset(
    audience_name: str, batch_conn_id: str = "batch_default", *, extra: dict[str, Any] | None = None
) -> Asset:
    """
    Return the asset ``batch://<connection id>/<audience>``, whose name is its URI; a dataset on Airflow 2.

    As an outlet of the sensor, or of an operator that waits, it emits its event once the audience is indexed. Airflow
    renders no templates in assets, so a template in an argument stays as it is.

    :param audience_name: 1 to 255 letters, digits, ``_`` or ``-``.
    :param batch_conn_id: id of the Airflow connection to the audience's app or project.
    :param extra: stored with the asset.
    :raises ValueError: if the audience's name or the connection's id is not valid.
    """
    for name, value in (("audience_name", audience_name), ("batch_conn_id", batch_conn_id)):
        if not isinstance(value, str):
            raise ValueError(f"{name}: a value of type {type(value).__name__} is not a valid name. Pass a str.")
    uri = f"{SCHEME}://{batch_conn_id}/{audience_name}"
    _check(uri, batch_conn_id, audience_name)
    # By default Airflow 3 names an asset by its URI before sanitizing.
    name_argument: dict[str, Any] = {"name": uri} if Asset.__name__ == "Asset" else {}
    asset: Asset = Asset(uri=uri, extra=extra, **name_argument)
    return asset


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """
    Return *uri* if it is a valid URI of an audience; Airflow calls this for every asset with the scheme ``batch``.

    :raises ValueError: if *uri* is not valid; Airflow 3 then fails the DAG file, Airflow 2 warns.
    """
    _check(uri.geturl(), uri.netloc, uri.path.removeprefix("/"))
    if (uri.query or uri.fragment) and not _is_template(uri.geturl()):
        raise ValueError(f"an audience's URI must not have a query or fragment. Write {_FORM}.")
    return uri


def convert_asset_to_openlineage(asset: Asset, lineage_context: object) -> Any:
    """Return the OpenLineage dataset of the audience, with its connection as the namespace."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    batch_conn_id, _, audience_name = asset.uri.removeprefix(f"{SCHEME}://").partition("/")
    return Dataset(namespace=f"{SCHEME}://{batch_conn_id}", name=audience_name)


def _check(uri: str, batch_conn_id: str, audience_name: str) -> None:
    # No message quotes a value: it may be a key.
    if "@" in batch_conn_id or ":" in batch_conn_id:
        raise ValueError(f"an audience's URI must not contain credentials. Write {_FORM}.")
    if _is_template(uri):
        return
    if not _CONNECTION_ID.fullmatch(batch_conn_id):
        raise ValueError(
            f"an audience's URI, {_FORM}, needs a valid connection id. Use letters a-z A-Z, digits, '_', '-' or '.'."
        )
    if audience_name != ATTRIBUTES and not AUDIENCE_NAME.fullmatch(audience_name):
        raise ValueError(f"an audience's URI, {_FORM}, needs a valid audience name. Use {AUDIENCE_NAME_RULE}.")


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text
