"""The parameters that the operators for statistics share: name, type and default of each, and what they mean."""

from datetime import date
from typing import TYPE_CHECKING, Annotated

from airflow_provider_batch.protocol.arguments import OnMissing
from airflow_provider_batch.tasks.airflow_arguments import AirflowArguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath


class StatisticsParameters(AirflowArguments, total=False):
    """
    The parameters of every operator that reads statistics.

    :param path: a file such as ``s3://bucket/{{ ds }}.jsonl.gz``, or a folder for one. (templated)
    :param since: the first day, such as ``{{ ds }}``; at most six months ago, by default 180 days. (templated)
    :param until: the last day; by default today. (templated)
    :param path_conn_id: the connection to the storage, where the path does not name it. (templated)
    :param on_missing: ``fail`` after all others were read, or ``skip`` what cannot be read and report it in the log and
        the summary.
    :param batch_conn_id: the Airflow connection. (templated)
    """

    path: Annotated["str | ObjectStoragePath | None", None]
    since: Annotated[date | str | None, None]
    until: Annotated[date | str | None, None]
    path_conn_id: Annotated[str | None, None]
    on_missing: Annotated[OnMissing, "fail"]
    batch_conn_id: Annotated[str, "batch_default"]
