"""Values -> requests about audiences. Ids end here: what comes after holds counts, positions and tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from json.encoder import encode_basestring

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol import limits
from airflow_provider_batch.protocol.arguments import check_count
from airflow_provider_batch.protocol.audiences.chunk import Chunk
from airflow_provider_batch.protocol.dialect import Dialect, Endpoint
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.wire import Request


def create_custom_audience(
    dialect: Dialect, audience_name: str, audience_type: str, description: str | None = None
) -> Request:
    """Return the request to create an audience without members."""
    fields = {"type": audience_type} | ({} if description is None else {dialect.description: description})
    return _write(dialect.create, audience_name, fields)


def update_custom_audience(dialect: Dialect, audience_name: str, audience_type: str, chunk: Chunk) -> Request:
    """Return the request to add and remove the members of *chunk*."""
    members = (("add", chunk.add_ids), ("remove", chunk.remove_ids))
    return _write_members(dialect, dialect.update, audience_name, audience_type, chunk, members)


def replace_custom_audience(dialect: Dialect, audience_name: str, audience_type: str, chunk: Chunk) -> Request:
    """Return the request to replace all members by those that *chunk* adds."""
    members = ((None, chunk.add_ids),)
    return _write_members(dialect, dialect.replace, audience_name, audience_type, chunk, members)


def packed(chunk: Chunk, request: Request) -> Chunk:
    """Return *chunk* without the ids that can be read from its *request* again."""
    return chunk.lazy(partial(_ids_in, request.body))  # type: ignore[arg-type]  # a write of members has one


def delete_custom_audience(dialect: Dialect, audience_name: str) -> Request:
    """Return the request to delete the audience."""
    return _write(dialect.delete, audience_name, {})


def view_custom_audience(dialect: Dialect, audience_name: str, indexing_token: str | None = None) -> Request:
    """Return the request for the audience and the state of the token's write; without a token, of the last write."""
    # CEP requires the name, though one old example of its page passes the token alone.
    named = () if dialect.view.names_audience else (("name", audience_name),)
    query = named if indexing_token is None else (*named, ("indexing_token", indexing_token))
    # Without a token, the answer is about the last write, which may be one that comes after the request of another.
    return replace(_request(dialect.view, audience_name, query=query), shareable=indexing_token is not None)


def list_custom_audiences(
    dialect: Dialect, start: int | str | None = None, *, limit: int = limits.MAX_AUDIENCES_PER_PAGE
) -> Request:
    """Return the request for *limit* audiences from *start* on, as the page before has it; None for the first page."""
    first = () if dialect.cursor else (("from", "0"),)
    query = first if start is None else (("from", str(start)),)
    return Request(dialect.list.method, dialect.list.path, query=(*query, ("limit", str(limit))))


def check_write(
    dialect: Dialect, audience_name: object, audience_type: object, chunk_size: object = limits.MAX_IDS_PER_CALL
) -> None:
    """
    Check the arguments that every push has.

    :raises InvalidArgumentError: if one of them breaks a rule.
    """
    check_audience_name(audience_name)
    check_audience_type(dialect, audience_type)
    check_chunk_size(dialect, chunk_size)


def check_audience_name(audience_name: object) -> str:
    """
    Return *audience_name* if it is valid.

    :raises InvalidArgumentError: if it is not: https://doc.batch.com/api/custom-audience/1.0/create
    """
    if audience_name == "None":
        raise InvalidArgumentError("audience_name: 'None' is what a template without a value renders to. Correct it.")
    if not isinstance(audience_name, str) or not limits.AUDIENCE_NAME.fullmatch(audience_name):
        shown = repr(audience_name[:80]) if isinstance(audience_name, str) else type(audience_name).__name__
        raise InvalidArgumentError(
            f"audience_name: {shown} is not a valid audience name. Use {limits.AUDIENCE_NAME_RULE}."
        )
    return audience_name


def check_audience_type(dialect: Dialect, audience_type: object) -> str:
    """
    Return *audience_type* if this version of the API has it.

    :raises InvalidArgumentError: if it does not.
    """
    if not isinstance(audience_type, str) or audience_type not in dialect.audience_types:
        known = " or ".join(dialect.audience_types)
        raise InvalidArgumentError(
            f"audience_type: {audience_type!r:.80} is unknown to API {dialect.version}. Use {known}."
        )
    return audience_type


def check_chunk_size(dialect: Dialect, chunk_size: object) -> int:
    """
    Return *chunk_size* if one call can hold that many ids.

    :raises InvalidArgumentError: if it cannot.
    """
    return check_count("chunk_size", chunk_size, dialect.max_ids_per_call)


def _write(endpoint: Endpoint, audience_name: str, fields: Mapping[str, str]) -> Request:
    fields = fields if endpoint.names_audience else {"name": audience_name, **fields}
    return _request(endpoint, audience_name, body=json.dumps(fields).encode() if fields else None)


def _write_members(
    dialect: Dialect,
    endpoint: Endpoint,
    audience_name: str,
    audience_type: str,
    chunk: Chunk,
    members: Iterable[tuple[str | None, Sequence[str]]],
) -> Request:
    fields = {} if endpoint.names_audience else {"name": audience_name}
    if dialect.typed_writes:
        fields["type"] = audience_type
    head = "".join(f"{json.dumps(name)}:{json.dumps(value)}," for name, value in fields.items())
    # What stands before and after the ids is joined with them: a text of half a megabyte is not copied once more.
    before, after = f'{{{head}"ids":[', "]}"
    given = [(action, ids) for action, ids in members if ids]
    if len(given) == 1:
        text = _elements(*given[0], chunk, before, after)
    else:
        text = f"{before}{','.join(_elements(action, ids, chunk) for action, ids in given)}{after}"
    body = text.encode()
    # Of the chunk itself, the request would keep all ids for as long as it waits.
    private = partial(_private_texts, chunk.lazy(partial(_ids_in, body)))
    return _request(endpoint, audience_name, body=body, private=private)


def _request(
    endpoint: Endpoint,
    audience_name: str,
    *,
    query: tuple[tuple[str, str], ...] = (),
    body: bytes | None = None,
    private: Callable[[], Iterable[str]] = tuple,
) -> Request:
    # A valid name has nothing to percent-encode.
    path = endpoint.path.replace("{audience_name}", check_audience_name(audience_name))
    return Request(endpoint.method, path, query, body, private, audience_name)


def _elements(action: str | None, ids: Sequence[str], chunk: Chunk, before: str = "", after: str = "") -> str:
    """Encode *ids* as JSON objects: joined in one go if no character needs escaping, which is far faster."""
    opening = f'{{"action":"{action}","id":' if action else '{"id":'
    if chunk.annotated:
        texts = [f"{encode_basestring(id_)}{_extras(id_)}" for id_ in ids]
        quote = ""
    elif chunk.plain or not _needs_escaping("".join(ids)):
        texts = list(ids)
        quote = '"'
    else:
        texts = list(map(encode_basestring, ids))
        quote = ""
    texts[0] = f"{before}{opening}{quote}{texts[0]}"
    texts[-1] += f"{quote}}}{after}"
    return f"{quote}}},{opening}{quote}".join(texts)


def _needs_escaping(text: str) -> bool:
    return len(encode_basestring(text)) > len(text) + 2


def _extras(id_: str) -> str:
    return f",{id_.extras}" if isinstance(id_, AnnotatedId) else ""


def _ids_in(body: bytes) -> list[str]:
    return [member["id"] for member in json.loads(body)["ids"]]


def _private_texts(chunk: Chunk) -> Iterator[str]:
    """Yield the private texts of the members: their ids, and the values of their attributes and tags."""
    for id_ in chain(chunk.add_ids, chunk.remove_ids):
        yield id_
        if isinstance(id_, AnnotatedId):
            extras = json.loads(f"{{{id_.extras}}}")
            yield from extras.get("tags", ())
            for value in extras.get("attributes", {}).values():
                yield from map(str, value if isinstance(value, list) else [value])
