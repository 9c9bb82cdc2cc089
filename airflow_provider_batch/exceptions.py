"""
The errors of this package, by their cause and by whether a retry can help.

::

    BatchError                          .retryable .accepted_chunks .attempts
    ├── InvalidArgumentError            (ValueError) an argument breaks a documented rule; raised before any call
    │   └── InvalidMemberError          an id or a row is not valid; .argument .position .reason, never the value
    ├── AudienceExistsError             the audience to create exists already
    ├── AudienceMissingError            the audience to delete does not exist
    ├── GuardError                      a limit set by the caller forbids the write; nothing was sent
    │   └── EmptySetError               there are no ids, so every member would be removed; or no rows of profiles
    ├── TooManyRejectedError            more values were rejected than the caller allows; the others were sent
    ├── SourceError                     the query or file that holds the ids cannot be read
    │   └── SourceUnavailableError      it does not exist yet, or does not answer; retryable
    ├── BatchConfigurationError         the Airflow connection cannot be used
    ├── BatchConnectionError            no answer; retryable; it is unknown whether a write happened
    ├── BatchAPIError                   Batch answered with an error; .status .code .number .route .retry_after
    │   ├── BatchAuthenticationError    401, 403
    │   ├── BatchNotFoundError          404
    │   ├── BatchRequestError           any other 4xx
    │   ├── BatchRateLimitError         429; retryable
    │   └── BatchServerError            5xx; retryable
    ├── BatchProtocolError              the answer is not one that Batch documents; retryable
    ├── PushStoppedError                the task was stopped between two calls; retryable
    ├── MirrorError                     a mirror cannot run
    │   ├── SnapshotError               the snapshot of the last run cannot be read or used
    │   ├── MirrorConflictError         another run of the mirror is active, or finished first; retryable
    │   └── DriftError                  Batch and the snapshot differ in their number of ids
    ├── ResultError                     what was asked for cannot be brought back or stored; retryable
    │   ├── ResultExistsError           files are there already, and may not be replaced; not retryable
    │   ├── StatisticsMissingError      some of the statistics cannot be read; .missing
    │   └── ExportError                 an export is not available; retryable; .export_id
    │       ├── ExportFailedError       Batch reports ERROR
    │       └── ExportTimeoutError      it is not done in time
    └── IndexingError                   the state of a write is unknown; .audience_name .indexing_token
        └── IndexingTimeoutError        Batch did not confirm it in time; retryable; .indexing_tokens

The module imports nothing, so a DAG file can import it at no cost. No message, attribute or cause holds a key or an id.
"""

from __future__ import annotations


class BatchError(Exception):
    """The root of the tree; ``retryable`` is True if the same call may succeed later."""

    retryable: bool = False
    #: How many chunks of the push Batch had accepted before the error; None outside a push.
    accepted_chunks: int | None = None
    #: The number of attempts of the call that failed; None if there was only one.
    attempts: int | None = None

    def __str__(self) -> str:
        notes = []
        if self.attempts is not None:
            notes.append(f"after {counted(self.attempts, 'attempt')}")
        # Before the first call, a fault of the source or of an argument has nothing to do with Batch.
        if self.accepted_chunks or (self.accepted_chunks == 0 and not isinstance(self, _BEFORE_ANY_CALL)):
            notes.append(f"Batch had accepted {counted(self.accepted_chunks, 'chunk')} of this push before")
        return super().__str__() + (f" ({'; '.join(notes)})" if notes else "")


def counted(number: int, noun: str) -> str:
    """Return *number* with its noun: ``1 chunk``, ``1,234 chunks``."""
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


class InvalidArgumentError(BatchError, ValueError):
    """An argument breaks a documented rule of Batch; raised before any call."""


class InvalidMemberError(InvalidArgumentError):
    """One value is not a valid id, or one row not a valid profile; the error has its place and the reason alone."""

    def __init__(self, message: str, *, argument: str = "", position: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.argument = argument
        #: From 0; in the results of a mapped task, counted across all of them.
        self.position = position
        self.reason = reason


class AudienceExistsError(BatchError):
    """An audience of the name to create exists already; it is left unchanged."""


class AudienceMissingError(BatchError):
    """The audience to delete does not exist."""


class GuardError(BatchError):
    """A limit set by the caller forbids a write that looks like a mistake; nothing was sent."""


class EmptySetError(GuardError):
    """A set without ids would remove every member, or there are no rows of profiles; the caller has not allowed it."""


class TooManyRejectedError(BatchError):
    """More values were invalid, or rejected by Batch, than the caller allows; the others were sent."""


class SourceError(BatchError):
    """The query or file that holds the ids cannot be read: a column is missing, or the file is truncated."""


class SourceUnavailableError(SourceError):
    """The source may be readable later: a file does not exist yet, or a storage or database does not answer."""

    retryable = True


class BatchConfigurationError(BatchError):
    """The Airflow connection cannot be used: a key is missing, an extra is unknown, the proxy's address is none."""


class BatchConnectionError(BatchError):
    """No answer: DNS, TLS, a refused or reset connection, a timeout. It is unknown whether a write happened."""

    retryable = True


class BatchAPIError(BatchError):
    """Batch answered the call with an error."""

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
        #: Batch's name for the error, such as ``MISSING_PARAMETER``, and its number; None if the answer has none.
        self.code = code
        self.number = number
        #: Method and path with ``{api_key}`` in the key's place.
        self.route = route
        #: Seconds to wait, from the header Retry-After; None without one.
        self.retry_after = retry_after


class BatchAuthenticationError(BatchAPIError):
    """401 or 403: a key is wrong, or lacks the permission."""


class BatchNotFoundError(BatchAPIError):
    """404: the app, route or audience does not exist."""


class BatchRequestError(BatchAPIError):
    """Any other 4xx: Batch rejected the request."""


class BatchRateLimitError(BatchAPIError):
    """429: too many requests."""

    retryable = True


class BatchServerError(BatchAPIError):
    """5xx: a fault or maintenance at Batch."""

    retryable = True


class BatchProtocolError(BatchError):
    """The answer is not one that Batch documents: HTML, no token, truncated."""

    #: Every call of this package can be repeated: an id has one action in a push, views do not write, and a create or
    #: delete is repeated only if the list of audiences shows that it did not happen.
    retryable = True


class PushStoppedError(BatchError):
    """The push was stopped between two calls: the task was killed, or its worker is shutting down."""

    retryable = True

    def __init__(self, message: str = "stopped before the next call") -> None:
        super().__init__(message)


class MirrorError(BatchError):
    """A mirror, of an audience or of the attributes of profiles, cannot run."""


class SnapshotError(MirrorError):
    """The snapshot of the last run is damaged, of something else, or newer; or its folder or tables cannot be used."""


class MirrorConflictError(MirrorError):
    """Another run of the same mirror is active, or finished first."""

    retryable = True


class DriftError(MirrorError):
    """Batch and the snapshot differ in their number of ids: something else has written to the audience."""


class IndexingError(BatchError):
    """The state of a write cannot be determined."""

    def __init__(self, message: str, *, audience_name: str = "", indexing_token: str = "") -> None:
        super().__init__(message)
        self.audience_name = audience_name
        self.indexing_token = indexing_token


class IndexingTimeoutError(IndexingError):
    """Batch did not confirm every write before the deadline; it may still apply them later."""

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
        #: All tokens without confirmation; ``indexing_token`` is the first of them.
        self.indexing_tokens = indexing_tokens


class ResultError(BatchError):
    """What Batch was asked for cannot be brought back, or not be stored; no half result is left."""

    retryable = True


class ResultExistsError(ResultError):
    """Files of an earlier result are there, and the caller has not allowed to replace them."""

    retryable = False


class StatisticsMissingError(ResultError):
    """The statistics of some cannot be read; all others were. It is retryable if one of the reasons was."""

    retryable = False

    def __init__(self, message: str, *, missing: tuple[str, ...] = (), retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
        #: The ids of those that are missing.
        self.missing = missing


class ExportError(ResultError):
    """An export of Batch is not available."""

    def __init__(self, message: str, *, export_id: str = "") -> None:
        super().__init__(message)
        self.export_id = export_id


class ExportFailedError(ExportError):
    """Batch reports that an export has failed; another request may succeed."""


class ExportTimeoutError(ExportError):
    """An export is not done before the deadline; it may be later."""


_BEFORE_ANY_CALL = (SourceError, InvalidArgumentError)
