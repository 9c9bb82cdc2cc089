"""What all operators share that push what a source gives: the modes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from airflow_provider_batch.operators.push import PushOperator
from airflow_provider_batch.operators.rejects import rejects_file
from airflow_provider_batch.protocol.arguments import FirstRun, OnDrift, check_limit, read_limit, read_switch
from airflow_provider_batch.tasks.storage import storage_path

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath

    from airflow_provider_batch.protocol.audiences.results import PushResult
    from airflow_provider_batch.tasks.journal import TaskStateJournal
    from airflow_provider_batch.tasks.mapped import Expansion, Use

Mode = Literal["add", "remove", "actions", "replace", "mirror"]

#: The choices of each parameter that has some.
_CHOICES: Final = {"mode": get_args(Mode), "first_run": get_args(FirstRun), "on_drift": get_args(OnDrift)}


class SourcePushOperator(PushOperator):
    """
    An operator that pushes what a source gives, in one of five modes.

    ``add`` and ``remove`` do that with every id. ``actions`` does what a column says of each id: of several changes of
    one id the last counts, and all ids are held until it is known. ``replace`` makes the ids the only members, whoever
    put the others there, as
    :class:`~airflow_provider_batch.operators.custom_audience.CustomAudienceReplaceOperator` does.

    ``mirror`` makes the ids the only ones of all that its runs have sent, and sends no more than what has changed since
    the last one. What that one sent is kept under ``snapshot_path``, in a folder for each connection and audience:
    sorted, compressed, as plain ids. The snapshot moves on when every call was accepted; what a run that dies half-way
    may have sent is known to the next one, which puts it right. Of two runs at once, one fails. The ids are read once,
    whole, and before the first call. The run waits until its writes are indexed, so that a later one cannot overtake
    them, unless ``wait_for_indexing=False`` leaves that to the next run.

    Mapped tasks may ``add`` or ``remove`` shards of a source; of an id in several shards that has attributes, those of
    one of them stay. ``actions`` takes ``mapped_by="id"``: each shard has all rows of its ids. Several ``replace`` or
    ``mirror`` for the same audience are refused, since each would remove what the others have added.

    :param mode: one of ``add``, ``remove``, ``actions``, ``replace`` and ``mirror``.
    :param create_if_missing: create the audience first, if the list of audiences does not have it.
    :param rejects_path: where rejected rows are written to, as JSON lines with place, reason and value: with
        ``on_invalid_id="skip"`` or ``on_rejected_chunk="bisect"``. The file holds ids. Each of several mapped tasks
        takes one of its own: ``{{ ti.map_index }}``. (templated)
    :param allow_empty: whether a source without ids is no failure (``replace``, ``mirror``, and files without a byte).
        (templated)
    :param max_shrink: how much smaller ``replace`` and ``mirror`` may make the audience: a share of it (float, 0.0 to
        1.0), or a count (int). None for any. (templated)
    :param snapshot_path: for ``mirror``: a folder, local or in any storage that Airflow's ObjectStoragePath knows,
        which all workers see. (templated)
    :param first_run: for ``mirror`` without a snapshot: ``add``, so that members that Batch has already stay, or
        ``replace``.
    :param full_refresh: for ``mirror``: replace the audience as a whole and begin the snapshot anew. (templated)
    :param is_sorted: for ``mirror``: whether the source promises ascending ids, in the order of their code points (in
        SQL ``ORDER BY id COLLATE "C"``, or as your database calls it); it is then merged as a stream. More than a
        million ids that are not sorted are sorted by DuckDB (extra ``mirror``).
    :param max_changes: for ``mirror``: how many ids may be sent, a share of the last set (float) or a count (int); not
        for a first run. None for any. (templated)
    :param on_drift: for ``mirror``, after a wait: what to do if Batch has another number of ids than the snapshot:
        ``warn``, ``fail`` or ``ignore``.

    The other parameters are those of :class:`~airflow_provider_batch.operators.push.PushOperator`, but that a
    mirror waits by default.
    """

    template_fields: Sequence[str] = (
        "audience_name",
        "audience_type",
        "batch_conn_id",
        "rejects_path",
        "snapshot_path",
        "full_refresh",
        "allow_empty",
        "max_shrink",
        "max_changes",
    )

    def __init__(
        self,
        *,
        mode: Mode = "add",
        create_if_missing: bool = False,
        rejects_path: str | ObjectStoragePath | None = None,
        allow_empty: bool | str = False,
        max_shrink: float | str | None = None,
        snapshot_path: str | ObjectStoragePath | None = None,
        first_run: FirstRun = "add",
        full_refresh: bool | str = False,
        is_sorted: bool = False,
        max_changes: float | str | None = None,
        on_drift: OnDrift = "warn",
        wait_for_indexing: bool | None = None,
        **kwargs: Any,
    ) -> None:
        for name, value in (("mode", mode), ("first_run", first_run), ("on_drift", on_drift)):
            if value not in _CHOICES[name]:
                raise ValueError(f"{name}: {value!r:.80} is none of {', '.join(_CHOICES[name])}")
        if (mode == "mirror") is not (snapshot_path is not None):
            raise ValueError("snapshot_path: mode='mirror' needs one, and no other mode has a use for it")
        for name, limit in (("max_shrink", max_shrink), ("max_changes", max_changes)):
            if isinstance(limit, int | float):  # a template is read when it is rendered
                check_limit(limit, name)
        waits = mode == "mirror" if wait_for_indexing is None else wait_for_indexing
        super().__init__(wait_for_indexing=waits, **kwargs)
        self.mode = mode
        self.create_if_missing = create_if_missing
        self.rejects_path = rejects_path
        self.allow_empty = allow_empty
        self.max_shrink = max_shrink
        self.snapshot_path = snapshot_path
        self.first_run = first_run
        self.full_refresh = full_refresh
        self.is_sorted = is_sorted
        self.max_changes = max_changes
        self.on_drift = on_drift

    @abstractmethod
    def source(self, context: Context) -> AbstractContextManager[Any]:
        """Give the values: ids, members, or changes of them."""

    def own_replace(self, indexing_tokens: Sequence[str]) -> str | None:
        """Return the token of the first call, which may be a replace."""
        return next(iter(indexing_tokens), None) if self.mode in ("replace", "mirror") else None

    def mapped_use(self, expansion: Expansion) -> Use:
        """Return what the mode does; one that differs between the tasks adds here and removes there."""
        if self.mode in ("replace", "mirror"):
            return "the only ids"
        return "actions" if self.mode == "actions" or expansion.varies("mode") else "one action"

    def push(self, context: Context, journal: TaskStateJournal | None) -> PushResult:
        """Read the source and send what the mode asks for."""
        with rejects_file(self.rejects_path) as on_rejection, self.source(context) as values:
            common: dict[str, Any] = {
                "audience_type": self.audience_type,
                "chunk_size": self.chunk_size,
                "max_concurrency": self.max_concurrency,
                "on_invalid_id": self.on_invalid_id,
                "on_rejected_chunk": self.on_rejected_chunk,
                "create_if_missing": self.create_if_missing,
                "on_rejection": on_rejection,
                "journal": journal,
                "dry_run": self.is_dry_run,
            }
            if self.mode in ("add", "remove", "actions"):
                argument = {"add": "add_ids", "remove": "remove_ids", "actions": "changes"}[self.mode]
                return self.hook.update_custom_audience(self.audience_name, **{argument: values}, **common)
            common |= {
                "allow_empty": read_switch("allow_empty", self.allow_empty),
                "max_shrink": read_limit(self.max_shrink, "max_shrink"),
                "poke_interval": self.poke_interval,
                "indexing_timeout": self.indexing_timeout,
            }
            if self.mode == "replace":
                return self.hook.replace_custom_audience(self.audience_name, values, **common)
            return self.hook.mirror_custom_audience(
                self.audience_name,
                values,
                snapshot_path=storage_path(self.snapshot_path),
                first_run=self.first_run,
                full_refresh=read_switch("full_refresh", self.full_refresh),
                is_sorted=self.is_sorted,
                max_changes=read_limit(self.max_changes, "max_changes"),
                owner=_owner(context),
                **common,
            )

    def indexed(self, indexing_tokens: Sequence[str], audience: dict[str, Any] | None) -> None:
        """Let the next run of a mirror know, and compare the numbers of ids."""
        if self.mode == "mirror":
            self.hook.confirm_mirror(
                self.audience_name,
                snapshot_path=storage_path(self.snapshot_path),
                audience_type=self.audience_type,
                indexing_tokens=indexing_tokens,
                nb_ids=audience["nb_ids"] if audience else None,
                on_drift=self.on_drift,
            )


def _owner(context: Context) -> str:
    """Name the task instance, whichever try it is."""
    ti = context.get("ti")
    if ti is None:
        return "a task without a name"
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}" + (f"[{ti.map_index}]" if getattr(ti, "map_index", -1) >= 0 else "")
