"""From files to profiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from airflow_provider_batch.operators.profile_parameters import ProfileFileParameters
from airflow_provider_batch.operators.profiles import ProfilesPushOperator
from airflow_provider_batch.transfers.files import FileRows


class FilesToProfilesOperator(FileRows, ProfilesPushOperator, takes=ProfileFileParameters):
    """
    Set attributes of Batch's profiles from the rows of files: one column is the id, the others are attributes.

    JSON lines and Parquet keep the types of their values; a line of JSON is a row as ``profiles`` of
    :class:`~airflow_provider_batch.operators.profiles.ProfilesUpdateOperator`, whose summary this operator returns. A
    CSV file has text alone. An error names the file and the line of an invalid row.
    """

    template_fields: Sequence[str] = (*FileRows.template_fields, *ProfilesPushOperator.template_fields)

    def __init__(self, **kwargs: Unpack[ProfileFileParameters]) -> None:
        super().__init__(**kwargs)
