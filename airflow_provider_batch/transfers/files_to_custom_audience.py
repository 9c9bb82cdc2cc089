"""From files to an audience."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from airflow_provider_batch.operators.parameters import FileRowsParameters
from airflow_provider_batch.transfers.files import FileRows
from airflow_provider_batch.transfers.rows import RowsToCustomAudienceOperator


class FilesToCustomAudienceOperator(FileRows, RowsToCustomAudienceOperator, takes=FileRowsParameters):
    """
    Push the ids in files to a custom audience of Batch, row by row and never held.

    The files are read once. Every row is checked before the first call; meanwhile, the ids are put aside in a local
    temporary file. An error names the file and the line of an invalid row. Returns tokens and summary as
    :class:`~airflow_provider_batch.operators.custom_audience.CustomAudienceUpdateOperator`.
    """

    template_fields: Sequence[str] = (*FileRows.template_fields, *RowsToCustomAudienceOperator.template_fields)

    def __init__(self, **kwargs: Unpack[FileRowsParameters]) -> None:
        super().__init__(**kwargs)
