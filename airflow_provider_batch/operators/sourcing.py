"""What all operators share that push what a source gives: the modes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from airflow_provider_batch.operators.pushing import PushOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_batch.operators.journal import TaskStateJournal
    from airflow_provider_batch.protocol.intake import OnRejection
    from airflow_provider_batch.protocol.model import PushResult
    from airflow_provider_batch.sources.columns import Columns

Mode = Literal["add", "remove", "actions", "replace", "mirror"]

_MODES: Final = get_args(Mode)


class SourcePushOperator(PushOperator):
    """
    An operator that pushes what a source gives, in one of five modes.

    ``add`` and ``remove`` do that with every id. ``actions`` does what a column says of each id; of several changes of
    one id the last counts, and all ids are held until it is known. ``replace`` makes the ids the only members, whoever
    put the others there. ``mirror`` makes them the only ones of those that earlier runs have sent, and sends no more
    than what has changed since: see :class:`~airflow_provider_batch.operators.custom_audience.CustomAudienceMirrorOperator`.

    :param mode: one of ``add``, ``remove``, ``actions``, ``replace`` and ``mirror``.
    :param create_if_missing: create the audience first, if the list of audiences does not have it.
    :param rejects_path: where rejected rows are written to, as JSON lines with place, reason and value: with
        ``on_invalid_id="skip"`` or ``on_rejected_chunk="bisect"``. The file holds ids. (templated)
    :param allow_empty: whether a source without ids is no failure (``replace``, ``mirror``, and files without a byte).
    :param max_shrink: the greatest share (0 to 1) of the members that ``replace`` and ``mirror`` may remove.

    The other parameters are those of :class:`~airflow_provider_batch.operators.pushing.PushOperator`.
    """

    template_fields: Sequence[str] = (
        "audience_name",
        "audience_type",
        "batch_conn_id",
        "rejects_path",
        "snapshot_path",
    )

    def __init__(
        self,
        *,
        mode: Mode = "add",
        create_if_missing: bool = False,
        rejects_path: str | ObjectStoragePath | None = None,
        allow_empty: bool = False,
        max_shrink: float | None = None,
        action_column: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if mode not in _MODES:
            raise ValueError(f"mode: {mode!r:.80} is none of {', '.join(_MODES)}")
        self.mode = mode
        self.create_if_missing = create_if_missing
        self.rejects_path = rejects_path
        self.allow_empty = allow_empty
        self.max_shrink = max_shrink
        self.action_column = action_column

    @abstractmethod
    def source(self) -> AbstractContextManager[Any]:
        """Give the values: ids, members, or changes of them."""

    def columns(
        self,
        id_column: str | None,
        attribute_columns: Sequence[str] | Mapping[str, str] | None,
        tags_column: str | None,
    ) -> Columns:
        """Return which columns are read."""
        from airflow_provider_batch.sources.columns import Columns

        return Columns(id_column, self.action_column, attribute_columns, tags_column)
