"""
What can go wrong, by whose fault it is and whether trying again can help.

::

    BatchError                          .retryable .accepted_chunks
    ├── InvalidArgumentError            (ValueError) an argument breaks a documented rule; raised before any call
    │   └── InvalidMemberError          one id does; .argument .position .reason, never the id
    ├── AudienceExistsError             there is an audience of that name; not created again
    ├── AudienceMissingError            there is none; nothing to delete
    ├── GuardError                      a limit that the caller has set refuses the write; nothing was sent
    │   └── EmptySetError               there are no ids, and all members would be removed
    ├── TooManyRejectedError            more values were skipped or refused than the caller allows; the others were sent
    ├── SourceError                     the query or file that the ids come from cannot be read
    │   └── SourceUnavailableError      it is not there yet, or does not answer; retryable
    ├── BatchConfigurationError         the Airflow connection cannot be used
    ├── BatchConnectionError            no answer; retryable; whether a write happened is unknown
    ├── BatchAPIError                   the answer is no; .status .code .number .route .retry_after
    │   ├── BatchAuthenticationError    401, 403
    │   ├── BatchNotFoundError          404
    │   ├── BatchRequestError           any other 4xx
    │   ├── BatchRateLimitError         429; retryable
    │   └── BatchServerError            5xx; retryable
    ├── BatchProtocolError              the answer is not what the documentation says; retryable
    ├── PushStoppedError                the push was stopped from outside, between two calls; retryable
    ├── MirrorError                     an audience could not be mirrored
    │   ├── SnapshotError               what was kept of the last run cannot be read, or is of another audience
    │   ├── MirrorConflictError         another run of the same mirror is under way, or was faster; retryable
    │   └── DriftError                  Batch has another number of ids than the snapshot
    └── IndexingError                   .audience_name .indexing_token
        └── IndexingTimeoutError        not confirmed in time; retryable; .indexing_tokens

The module imports nothing, so that retry rules may name its classes while a DAG file is parsed.
No message, attribute or cause holds a key or an id of a member.
"""

from __future__ import annotations


class BatchError(Exception):
    """The root of the tree; ``retryable`` says whether the same call may succeed later."""

    retryable: bool = False
    #: How many chunks of the same push Batch had accepted before, or None outside a push.
    accepted_chunks: int | None = None
    #: How often a call was tried before it was given up; None if it was not tried again.
    tries: int | None = None

    def __str__(self) -> str:
        notes = []
        if self.tries is not None:
            notes.append(f"tried {self.tries} times")
        if self.accepted_chunks is not None:
            notes.append(f"Batch had accepted {chunk_count(self.accepted_chunks)} of this push before")
        return super().__str__() + (f" ({'; '.join(notes)})" if notes else "")


def chunk_count(number: int) -> str:
    """Say how many chunks there are."""
    return "1 chunk" if number == 1 else f"{number:,} chunks"


class InvalidArgumentError(BatchError, ValueError):
    """An argument breaks a documented rule of Batch; raised before any call."""


class InvalidMemberError(InvalidArgumentError):
    """One value among the ids is no id; says where it stands and why, not what it is."""

    def __init__(self, message: str, *, argument: str = "", position: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.argument = argument
        #: Counted from 0; in the result of a mapped task, over the concatenation of its items.
        self.position = position
        self.reason = reason


class AudienceExistsError(BatchError):
    """An audience was to be created, and one of that name is there; it stays as it is."""


class AudienceMissingError(BatchError):
    """An audience was to be deleted, and there is none of that name."""


class GuardError(BatchError):
    """A limit that the caller has set refuses a write that looks like a mistake; nothing was sent."""


class EmptySetError(GuardError):
    """An audience's members were to be replaced by nothing, and the caller has not said that this is meant."""


class TooManyRejectedError(BatchError):
    """More values were skipped as no ids, or refused by Batch, than the caller allows; the others were sent."""


class SourceError(BatchError):
    """The query or file that the ids come from cannot be read: a column is missing, it is cut off, no such format."""


class SourceUnavailableError(SourceError):
    """The source may be there later: no such file yet, no answer of the storage or of the database."""

    retryable = True


class BatchConfigurationError(BatchError):
    """The Airflow connection cannot be used: a key is missing, http off the loopback, an unknown extra."""


class BatchConnectionError(BatchError):
    """No answer: DNS, TLS, refused, reset or timed out. Whether Batch did the write is unknown."""

    retryable = True


class BatchAPIError(BatchError):
    """Batch answered, and the answer is no."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str | None = None,
        number: int | None = None,
        route: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        #: Batch's name of the error, such as ``MISSING_PARAMETER``, and its number, where the answer gave them.
        self.code = code
        self.number = number
        #: Method and path with ``{api_key}`` in the key's place.
        self.route = route
        #: Seconds that Batch asked to wait, or None.
        self.retry_after = retry_after


class BatchAuthenticationError(BatchAPIError):
    """401 or 403: a key is wrong, or not allowed to do this."""


class BatchNotFoundError(BatchAPIError):
    """404: no such app, route or audience."""


class BatchRequestError(BatchAPIError):
    """Any other 4xx: Batch refuses what was sent."""


class BatchRateLimitError(BatchAPIError):
    """429: too many requests."""

    retryable = True


class BatchServerError(BatchAPIError):
    """5xx: a fault or maintenance on Batch's side."""

    retryable = True


class BatchProtocolError(BatchError):
    """The answer is not what the documentation says: HTML, no token, cut short."""

    #: Every call of this package may be repeated: an id has one action in a push, views do not write, and before an
    #: audience is created or deleted again, the list says whether it was.
    retryable = True


class PushStoppedError(BatchError):
    """The push was stopped from outside, between two calls: the task was killed, or its worker is shutting down."""

    retryable = True


class MirrorError(BatchError):
    """An audience could not be mirrored."""


class SnapshotError(MirrorError):
    """What was kept of the last run is damaged, of another audience, or newer than this package."""


class MirrorConflictError(MirrorError):
    """Another run of the same mirror is under way, or has ended in between."""

    retryable = True


class DriftError(MirrorError):
    """Batch has another number of ids than the snapshot: something else has written to the audience."""


class IndexingError(BatchError):
    """The state of a write could not be confirmed."""

    def __init__(self, message: str, *, audience_name: str = "", indexing_token: str = "") -> None:
        super().__init__(message)
        self.audience_name = audience_name
        self.indexing_token = indexing_token


class IndexingTimeoutError(IndexingError):
    """The deadline passed before Batch confirmed every write; they may still be applied later."""

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        audience_name: str = "",
        indexing_token: str = "",
        indexing_tokens: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, audience_name=audience_name, indexing_token=indexing_token)
        #: All tokens that were not confirmed; ``indexing_token`` is the first of them.
        self.indexing_tokens = indexing_tokens
