"""Operators that create, fill, list and delete Batch's custom audiences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Unpack

from airflow_provider_batch.exceptions import counted
from airflow_provider_batch.operators.modes import SourcePushOperator
from airflow_provider_batch.operators.parameters import (
    MirrorParameters,
    PushParameters,
    ReplaceParameters,
    SourceParameters,
)
from airflow_provider_batch.operators.push import PushOperator
from airflow_provider_batch.protocol.arguments import IfExists, IfMissing
from airflow_provider_batch.tasks.airflow_arguments import AirflowArguments
from airflow_provider_batch.tasks.audience import AudienceTask
from airflow_provider_batch.tasks.failure import fail_without_retry

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_batch.protocol.audiences.results import PushResult
    from airflow_provider_batch.tasks.journal import TaskStateJournal
    from airflow_provider_batch.tasks.mapped import Expansion, Use


class CustomAudienceCreateOperator(AudienceTask, takes=AirflowArguments):
    """
    Create a custom audience of Batch, without members.

    The list of audiences decides whether it exists: Batch does not document its answer for a name that is taken.
    Returns the indexing tokens: one on the Customer Engagement Platform, none on the older one, so that
    ``indexing_tokens=create.output`` is valid for a sensor on both. See
    https://doc.batch.com/developer/api/cep/audiences/create.

    :param audience_name: letters, digits, ``_`` and ``-``, at most 255. (templated)
    :param audience_type: ``custom_ids``; on the Mobile Engagement Platform also ``advertising_ids`` or
        ``install_ids``. (templated)
    :param description: shown in Batch's dashboard. (templated)
    :param if_exists: ``skip`` to leave an existing audience as it is and succeed, or ``fail``.
    :param batch_conn_id: the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = ("audience_name", "audience_type", "description", "batch_conn_id")

    def __init__(
        self,
        *,
        audience_name: str,
        audience_type: str = "custom_ids",
        description: str | None = None,
        if_exists: IfExists = "skip",
        batch_conn_id: str = "batch_default",
        **kwargs: Unpack[AirflowArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.audience_name = audience_name
        self.audience_type = audience_type
        self.description = description
        self.if_exists = if_exists
        self.batch_conn_id = batch_conn_id

    def execute(self, context: Context) -> list[str]:
        """Create the audience, or find it."""
        with fail_without_retry():
            created = self.hook.create_custom_audience(
                self.audience_name,
                audience_type=self.audience_type,
                description=self.description,
                if_exists=self.if_exists,
            )
        return [created.indexing_token] if created.indexing_token else []


class CustomAudienceUpdateOperator(PushOperator, takes=PushParameters):
    """
    Add ids to a custom audience of Batch, remove ids from it, or both.

    Returns the indexing tokens, one for each call, for a sensor's ``indexing_tokens=update.output``; pushes the
    XCom ``summary`` with the counts: audience, type, added, removed, duplicates, rejected (and the first reasons),
    calls, seconds. Invalid input and permanent errors (400, 401, 403, 404) fail without retries; calls with transient
    errors are retried, and then the task, as the DAG has it. On Airflow 3.3 and later a retry of the task sends only
    what is left; before, it sends everything again, which is safe: an id has one action in a run. See
    https://doc.batch.com/developer/api/mep/custom-audience/1.0/update and
    https://doc.batch.com/developer/api/cep/audiences/update.

    :param add_ids: ids to add: an iterable of str or int, of rows of one column, or an upstream task's output. An id
        has at most 128 characters in API 1.0. A member with attributes or tags is a dict such as
        ``{"id": "a", "attributes": {"plan": "gold"}, "tags": ["vip"]}``; API 1.1 (``install_ids``) takes both, 2.x
        attributes, 1.0 neither. (templated)
    :param remove_ids: ids to remove; same forms as ``add_ids``, over which they win. (templated)
    """

    id_fields = ("add_ids", "remove_ids")
    template_fields: Sequence[str] = ("audience_name", "add_ids", "remove_ids", "audience_type", "batch_conn_id")

    def __init__(
        self,
        *,
        add_ids: Iterable[object] | XComArg | str | None = None,
        remove_ids: Iterable[object] | XComArg | str | None = None,
        wait_for_indexing: bool = False,
        **kwargs: Unpack[PushParameters],
    ) -> None:
        self.add_ids = add_ids
        self.remove_ids = remove_ids
        super().__init__(wait_for_indexing=wait_for_indexing, **kwargs)

    def mapped_use(self, expansion: Expansion) -> Use:
        """Return ``actions`` if some of the tasks may add and some remove."""
        # ``default_args`` and subclasses give ids that the mapped task's own arguments do not have.
        adds, removes = (expansion.has(field) or self.given(field) is not None for field in self.id_fields)
        return "actions" if adds and removes else "one action"

    def push(self, context: Context, journal: TaskStateJournal | None) -> PushResult:
        """Add and remove the ids."""
        return self.hook.update_custom_audience(
            self.audience_name,
            add_ids=self.given("add_ids"),
            remove_ids=self.given("remove_ids"),
            **self.shared_arguments(journal),
        )


class IdsOperator(SourcePushOperator, takes=SourceParameters):
    """
    An operator that pushes all ids that an audience shall have.

    :param ids: all ids; same forms as ``add_ids`` of :class:`CustomAudienceUpdateOperator`. (templated)
    """

    id_fields = ("ids",)
    template_fields: Sequence[str] = ("ids", *SourcePushOperator.template_fields)

    def __init__(self, *, ids: Iterable[object] | XComArg | str | None, **kwargs: Unpack[SourceParameters]) -> None:
        self.ids = ids
        super().__init__(**kwargs)

    def source(self, context: Context) -> AbstractContextManager[Any]:
        """Open the ids."""
        return nullcontext(self.given("ids"))


class CustomAudienceReplaceOperator(IdsOperator, takes=ReplaceParameters):
    """
    Make the given ids the only members of a custom audience of Batch.

    One call replaces all members by at most 10,000 ids. If there are more, the worker waits until the first call is
    applied and then adds the others; in between, the audience has only a part of its members. A retry starts with the
    replace again; on Airflow 3.3 and later, and with the very same ids, it continues where the earlier try ended.
    Returns tokens and summary as :class:`CustomAudienceUpdateOperator`. See
    https://doc.batch.com/developer/api/cep/audiences/replace and https://doc.batch.com/api/custom-audience/1.1/replace.

    :param ids: all ids it shall have; same forms as ``add_ids`` of :class:`CustomAudienceUpdateOperator`. (templated)
    :param allow_empty: whether no ids at all may replace all members; if not, the task fails, so that an empty XCom
        does not wipe an audience. (templated)
    :param max_shrink: how much smaller the audience may get, by the ``nb_ids`` that Batch reports before: a share of
        them (float, 0.0 to 1.0) or a count (int). None for any. (templated)
    """

    mode = "replace"

    def __init__(
        self,
        *,
        ids: Iterable[object] | XComArg | str | None,
        wait_for_indexing: bool = False,
        **kwargs: Unpack[ReplaceParameters],
    ) -> None:
        super().__init__(ids=ids, mode="replace", wait_for_indexing=wait_for_indexing, **kwargs)


class CustomAudienceMirrorOperator(IdsOperator, takes=MirrorParameters):
    """
    Send what has changed since the last run, so that an audience holds exactly the given ids among those managed here.

    Returns the tokens as :class:`CustomAudienceUpdateOperator`, and its summary with two more counts: ``unchanged``,
    which were not sent, and ``members``, which the audience has now according to what was sent.

    :param ids: all ids it shall have; same forms as ``add_ids`` of :class:`CustomAudienceUpdateOperator`. (templated)
    :param snapshot_path: a folder for what was sent, local or in any storage that Airflow's ObjectStoragePath supports.
        (templated)
    """

    mode = "mirror"

    def __init__(
        self,
        *,
        ids: Iterable[object] | XComArg | str | None,
        snapshot_path: str | ObjectStoragePath,
        wait_for_indexing: bool = True,
        **kwargs: Unpack[MirrorParameters],
    ) -> None:
        super().__init__(
            ids=ids, mode="mirror", snapshot_path=snapshot_path, wait_for_indexing=wait_for_indexing, **kwargs
        )


class CustomAudienceDeleteOperator(AudienceTask, takes=AirflowArguments):
    """
    Delete a custom audience of Batch; campaigns that target it then find it empty.

    The list of audiences decides whether it exists: Batch does not document its answer for an unknown name. See
    https://doc.batch.com/developer/api/cep/audiences/remove.

    :param audience_name: the audience. (templated)
    :param audience_type: its type, which on the Mobile Engagement Platform selects the list. (templated)
    :param if_missing: ``fail``, or ``skip`` to succeed if the audience does not exist.
    :param batch_conn_id: the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = ("audience_name", "audience_type", "batch_conn_id")

    def __init__(
        self,
        *,
        audience_name: str,
        audience_type: str = "custom_ids",
        if_missing: IfMissing = "fail",
        batch_conn_id: str = "batch_default",
        **kwargs: Unpack[AirflowArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.audience_name = audience_name
        self.audience_type = audience_type
        self.if_missing = if_missing
        self.batch_conn_id = batch_conn_id

    def execute(self, context: Context) -> None:
        """Delete the audience."""
        with fail_without_retry():
            self.hook.delete_custom_audience(
                self.audience_name, audience_type=self.audience_type, if_missing=self.if_missing
            )


class CustomAudienceListOperator(AudienceTask, takes=AirflowArguments):
    """
    List the custom audiences of an app or project, the newest first.

    Returns one dict each: name, type, description, nb_ids, created, updated, indexing_state (None on the Mobile
    Engagement Platform, whose list does not have it). See https://doc.batch.com/developer/api/cep/audiences/list.

    :param audience_type: selects the list on the Mobile Engagement Platform: ``install_ids`` are in that of API 1.1,
        the others in that of 1.0. (templated)
    :param batch_conn_id: the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = ("audience_type", "batch_conn_id")

    def __init__(
        self,
        *,
        audience_type: str = "custom_ids",
        batch_conn_id: str = "batch_default",
        **kwargs: Unpack[AirflowArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.audience_type = audience_type
        self.batch_conn_id = batch_conn_id

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Read the whole list."""
        with fail_without_retry():
            audiences = [
                audience.to_dict() for audience in self.hook.list_custom_audiences(audience_type=self.audience_type)
            ]
        self.log.info("%s", counted(len(audiences), "audience"))
        return audiences
