"""
Audiences as a whole: create, view, list and delete them, and wait for their indexing.

What a verb needs is imported when it is called: Airflow imports hooks in processes that never call one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_batch.exceptions import (
    AudienceExistsError,
    AudienceMissingError,
    BatchAPIError,
    BatchAuthenticationError,
    BatchError,
    BatchNotFoundError,
    BatchProtocolError,
    BatchRequestError,
    InvalidArgumentError,
)
from airflow_provider_batch.hooks.base import BatchBaseHook
from airflow_provider_batch.hooks.metrics import report_indexed

if TYPE_CHECKING:
    from airflow_provider_batch.protocol.arguments import IfExists, IfMissing
    from airflow_provider_batch.protocol.audiences.audience import (
        CreatedAudience,
        CustomAudience,
        DeletedAudience,
        IndexingOutcome,
    )
    from airflow_provider_batch.protocol.audiences.writes import AudienceWrites
    from airflow_provider_batch.protocol.dialect import Dialect
    from airflow_provider_batch.protocol.retry import Patience


class AudienceHook(BatchBaseHook):
    """The part of the hook that creates, views, lists and deletes audiences."""

    def create_custom_audience(
        self,
        audience_name: str,
        *,
        audience_type: str = "custom_ids",
        description: str | None = None,
        if_exists: IfExists = "skip",
    ) -> CreatedAudience:
        """
        Create an audience without members, if the list of audiences does not have it.

        See https://doc.batch.com/developer/api/cep/audiences/create and
        https://doc.batch.com/api/custom-audience/1.0/create. Batch does not document its answer for a name that is
        taken, so the list decides, also after an answer that leaves open whether the audience was created.

        :param audience_name: letters, digits, ``_`` and ``-``, at most 255.
        :param audience_type: ``custom_ids``; on the Mobile Engagement Platform also ``advertising_ids`` or
            ``install_ids``.
        :param description: shown in Batch's dashboard.
        :param if_exists: ``skip`` to leave it unchanged, or ``fail``.
        :raises AudienceExistsError: if it exists and ``if_exists`` is ``fail``.
        :raises InvalidArgumentError: if an argument breaks a documented rule, or the audience has another type.
        """
        from airflow_provider_batch.protocol.arguments import check_choice
        from airflow_provider_batch.protocol.audiences import conversations, encode
        from airflow_provider_batch.protocol.audiences.audience import CreatedAudience

        check_choice("if_exists", if_exists)
        dialect = self._settings.dialect(audience_type)
        encode.check_audience_name(audience_name)
        if description is not None and not isinstance(description, str):
            raise InvalidArgumentError(f"description: a value of type {type(description).__name__} is not text")
        existing = self._find(dialect, audience_name)
        if existing is None:
            creation = conversations.create(dialect, audience_name, audience_type, description, self._settings.backoff)
            try:
                token = self._ask(creation, audience_name)
            except BatchAPIError as error:
                if not _may_be_overtaken(error) or (existing := self._find(dialect, audience_name)) is None:
                    raise
            else:
                self.log.info("%s: created", audience_name)
                return CreatedAudience(audience_name, audience_type, created=True, indexing_token=token)
        if if_exists == "fail":
            raise AudienceExistsError(
                f"{audience_name}: an audience of that name exists already. Pass if_exists='skip' to keep it."
            )
        self._check_type(existing, audience_type)
        self.log.info("%s: exists already", audience_name)
        return CreatedAudience(audience_name, audience_type, created=False, existing=existing)

    def delete_custom_audience(
        self, audience_name: str, *, audience_type: str = "custom_ids", if_missing: IfMissing = "fail"
    ) -> DeletedAudience:
        """
        Delete an audience, if the list of audiences has it; for campaigns that target it, it is then empty.

        See https://doc.batch.com/developer/api/cep/audiences/remove and
        https://doc.batch.com/developer/api/mep/custom-audience/1.0/delete. Batch does not document its answer for an
        unknown name, so the list decides.

        :param if_missing: ``fail``, or ``skip`` to succeed if the audience does not exist.
        :raises AudienceMissingError: if it does not exist and ``if_missing`` is ``fail``.
        """
        from airflow_provider_batch.protocol.arguments import check_choice
        from airflow_provider_batch.protocol.audiences import conversations, encode
        from airflow_provider_batch.protocol.audiences.audience import DeletedAudience

        check_choice("if_missing", if_missing)
        dialect = self._settings.dialect(audience_type)
        encode.check_audience_name(audience_name)
        if self._find(dialect, audience_name) is not None:
            try:
                deletion = conversations.delete(dialect, audience_name, self._settings.backoff)
                token = self._ask(deletion, audience_name)
            except BatchAPIError as error:
                if not _may_be_overtaken(error) or self._find(dialect, audience_name) is not None:
                    raise
            else:
                self.log.info("%s: deleted", audience_name)
                return DeletedAudience(audience_name, deleted=True, indexing_token=token)
        if if_missing == "fail":
            raise AudienceMissingError(
                f"{audience_name}: no audience of that name exists. Pass if_missing='skip' to succeed nonetheless."
            )
        self.log.info("%s: does not exist", audience_name)
        return DeletedAudience(audience_name, deleted=False)

    def list_custom_audiences(self, *, audience_type: str = "custom_ids") -> Iterator[CustomAudience]:
        """
        Yield all audiences, the newest first; each page is requested when it is needed.

        See https://doc.batch.com/developer/api/cep/audiences/list and
        https://doc.batch.com/api/custom-audience/1.0/list/.

        :param audience_type: on the Mobile Engagement Platform, selects the version whose list is read: 1.1 for
            ``install_ids``, 1.0 for the others.
        """
        from airflow_provider_batch.protocol.audiences import conversations

        settings = self._settings
        dialect = settings.dialect(audience_type)
        seen: set[str] = set()
        start: int | str | None = None
        while True:
            page = self._ask(conversations.page(dialect, start, settings.backoff))
            yield from conversations.unseen(page, seen)
            if (start := page.next_start) is None:
                return

    def get_custom_audience(
        self, audience_name: str, indexing_token: str | None = None, *, audience_type: str = "custom_ids"
    ) -> CustomAudience:
        """
        Return an audience with the state of the token's write; without a token, of the last write.

        See https://doc.batch.com/developer/api/cep/audiences/view and
        https://doc.batch.com/api/custom-audience/1.0/get/.

        :raises BatchAPIError: if Batch rejects the call, or if all attempts fail.
        :raises BatchConnectionError: if no attempt reaches Batch.
        """
        from airflow_provider_batch.protocol.audiences import conversations

        settings = self._settings
        view = conversations.view(settings.dialect(audience_type), audience_name, indexing_token, settings.backoff)
        return self._ask(view, audience_name)

    def wait_for_indexing(
        self,
        audience_name: str,
        indexing_tokens: Sequence[str],
        *,
        audience_type: str = "custom_ids",
        poke_interval: float = 10.0,
        timeout: float = 3600.0,
        own_replace: str | None = None,
    ) -> CustomAudience | None:
        """
        Poll one token after the other until all are confirmed, and return the last view.

        :param poke_interval: the most seconds between two polls; the pauses begin with one second and double.
        :param timeout: seconds after which the wait ends.
        :param own_replace: the token of a replace of the same run, for which ``REPLACED`` needs no warning.
        :raises IndexingTimeoutError: if tokens are not confirmed by then.
        """
        from airflow_provider_batch.protocol.audiences import conversations
        from airflow_provider_batch.protocol.retry import Patience

        began = time.monotonic()
        outcome = self._await_indexing(
            audience_name, indexing_tokens, audience_type, Patience(poke_interval, timeout), own_replace
        )
        audience = conversations.confirmed(outcome, audience_name, timeout)
        if audience is not None:
            report_indexed(self.batch_conn_id, audience_name, audience.nb_ids, time.monotonic() - began)
        return audience

    def check_indexing(
        self,
        audience_name: str,
        indexing_tokens: Sequence[str],
        *,
        audience_type: str = "custom_ids",
        own_replace: str | None = None,
    ) -> IndexingOutcome:
        """
        Poll each token once, up to the first that is not confirmed, and return which are left.

        A transient error (no answer, 429, 5xx) leaves its token unconfirmed, with the reason in ``last_error``.
        """
        from airflow_provider_batch.protocol.retry import Patience

        outcome = self._await_indexing(audience_name, indexing_tokens, audience_type, Patience(0.0, 0.0), own_replace)
        if outcome.last_error:
            self.log.warning("%s", outcome.last_error)
        return outcome

    def test_connection(self) -> tuple[bool, str]:
        """List one audience of the app or project, which needs both keys and changes nothing."""
        from airflow_provider_batch.protocol import flow
        from airflow_provider_batch.protocol.audiences import conversations

        try:
            self._ask(conversations.page(self._settings.dialect("custom_ids"), None, flow.no_retry, limit=1))
        except BatchProtocolError as error:
            return False, f"the host answered, but not with a list of audiences: {error}"
        except (BatchError, AirflowNotFoundException) as error:
            return False, str(error)
        return True, "Batch accepted both keys"

    def _check_type(self, existing: CustomAudience, audience_type: str) -> None:
        if existing.type != audience_type and existing.type in self._settings.known_types:
            raise InvalidArgumentError(
                f"audience_type: {existing.name} exists with the type {existing.type}, not {audience_type}. Pass that "
                "type, or choose another name."
            )

    def _find(self, dialect: Dialect, audience_name: str) -> CustomAudience | None:
        from airflow_provider_batch.protocol.audiences import conversations

        return self._ask(conversations.find(dialect, audience_name, self._settings.backoff), audience_name)

    def _create_if_missing(self, writes: AudienceWrites) -> bool:
        """Create the audience if it does not exist, and return whether it did not."""
        created = self.create_custom_audience(writes.audience_name, audience_type=writes.audience_type)
        if created.indexing_token:
            self._await_creation(created, created.indexing_token)
        return created.created

    def _await_creation(self, created: CreatedAudience, indexing_token: str) -> None:
        """Wait for a creation: Batch does not document whether it accepts writes before that is applied."""
        try:
            self.wait_for_indexing(created.name, [indexing_token], audience_type=created.type)
        except (BatchRequestError, BatchNotFoundError) as error:
            # By the pages of 2.2 and 2.3, a view accepts the token of an update or a replace only.
            self.log.info("%s: Batch does not report whether the audience is ready: %s", created.name, error)

    def _await_indexing(
        self,
        audience_name: str,
        indexing_tokens: Sequence[str],
        audience_type: str,
        patience: Patience,
        own_replace: str | None,
    ) -> IndexingOutcome:
        from airflow_provider_batch.protocol.audiences import conversations

        dialect = self._settings.dialect(audience_type)
        with self._line(audience_name) as line:
            outcome = line.wait(
                partial(conversations.await_indexing, dialect, audience_name, indexing_tokens), patience
            )
        if warning := conversations.replaced_warning(outcome.replaced, own_replace):
            self.log.warning("%s: %s", audience_name, warning)
        return outcome


def _may_be_overtaken(error: BatchAPIError) -> bool:
    """Whether Batch may have rejected a write because another client made the same one since the list was read."""
    return not (error.retryable or isinstance(error, BatchAuthenticationError))
