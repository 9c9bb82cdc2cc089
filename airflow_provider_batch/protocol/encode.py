"""A value -> a Request: path, query and body; never a host, a key or an identity header. Ids end here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from json.encoder import encode_basestring
from typing import Final

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol import limits
from airflow_provider_batch.protocol.dialect import Dialect, Endpoint
from airflow_provider_batch.protocol.model import Chunk, Request

#: The bytes that JSON forbids inside a string: control characters, the quote and the backslash.
_ESCAPED: Final = bytes(range(0x20)) + b'"\\'


def update_custom_audience(dialect: Dialect, audience_name: str, audience_type: str, chunk: Chunk) -> Request:
    """Ask to add and to remove the members of *chunk*."""
    elements = b",".join(filter(None, (_elements("add", chunk.add_ids), _elements("remove", chunk.remove_ids))))
    both = chunk.add_ids and chunk.remove_ids
    members = (*chunk.add_ids, *chunk.remove_ids) if both else chunk.add_ids or chunk.remove_ids
    body = b'{"type":%b,"ids":[%b]}' % (json.dumps(audience_type).encode(), elements)
    return _request(dialect.update, audience_name, body=body, members=members)


def view_custom_audience(dialect: Dialect, audience_name: str, indexing_token: str | None = None) -> Request:
    """Ask for the audience and the state of the write behind the token; without one, of the last write."""
    query = () if indexing_token is None else (("indexing_token", indexing_token),)
    return _request(dialect.view, audience_name, query=query)


def list_custom_audiences(dialect: Dialect, *, limit: int) -> Request:
    """Ask for the newest audiences, at most *limit* of them."""
    return Request(dialect.list.method, dialect.list.path, query=(("from", "0"), ("limit", str(limit))))


def check_update(dialect: Dialect, audience_name: object, audience_type: object, chunk_size: object) -> None:
    """
    Return if an update may be asked for with these.

    :raises InvalidArgumentError: if one of them is against the rules.
    """
    check_audience_name(audience_name)
    check_audience_type(dialect, audience_type)
    check_chunk_size(dialect, chunk_size)


def check_audience_name(audience_name: object) -> str:
    """
    Return *audience_name* if Batch allows it.

    :raises InvalidArgumentError: if not (https://doc.batch.com/api/custom-audience/1.0/create).
    """
    if not isinstance(audience_name, str) or not limits.AUDIENCE_NAME.fullmatch(audience_name):
        shown = repr(audience_name[:80]) if isinstance(audience_name, str) else type(audience_name).__name__
        raise InvalidArgumentError(f"audience_name: {shown} is no name of an audience; use {limits.AUDIENCE_NAME_RULE}")
    return audience_name


def check_audience_type(dialect: Dialect, audience_type: object) -> str:
    """
    Return *audience_type* if this version of the API knows it.

    :raises InvalidArgumentError: if not.
    """
    if not isinstance(audience_type, str) or audience_type not in dialect.audience_types:
        known = " or ".join(dialect.audience_types)
        raise InvalidArgumentError(
            f"audience_type: {audience_type!r:.80} is unknown to API {dialect.version}; use {known}"
        )
    return audience_type


def check_chunk_size(dialect: Dialect, chunk_size: object) -> int:
    """
    Return *chunk_size* if one call can hold so many ids.

    :raises InvalidArgumentError: if not.
    """
    most = dialect.max_ids_per_call
    if not isinstance(chunk_size, int) or isinstance(chunk_size, bool) or not 1 <= chunk_size <= most:
        raise InvalidArgumentError(f"chunk_size: {chunk_size!r:.80} is out of range; a call takes 1 to {most:,} ids")
    return chunk_size


def _request(
    endpoint: Endpoint,
    audience_name: str,
    *,
    query: tuple[tuple[str, str], ...] = (),
    body: bytes | None = None,
    members: Sequence[str] = (),
) -> Request:
    # An allowed name has nothing to percent-encode.
    path = endpoint.path.replace("{audience_name}", check_audience_name(audience_name))
    return Request(endpoint.method, path, query, body, members)


def _elements(action: str, ids: Sequence[str]) -> bytes:
    """Write *ids* as JSON objects: joined as they are where no character needs escaping, one by one otherwise."""
    if not ids:
        return b""
    opening = f'{{"action":"{action}","id":'
    raw = "".join(ids).encode()
    if len(raw.translate(None, _ESCAPED)) == len(raw):
        return b'%b"%b"}' % (opening.encode(), f'"}},{opening}"'.join(ids).encode())
    return b"%b%b}" % (opening.encode(), f"}},{opening}".join(map(encode_basestring, ids)).encode())
