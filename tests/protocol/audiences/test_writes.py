"""How the members of an audience are sent, in conversations with a service that rejects some of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from weakref import ref

import pytest

from airflow_provider_batch.exceptions import (
    BatchRequestError,
    IndexingTimeoutError,
    InvalidArgumentError,
    InvalidMemberError,
)
from airflow_provider_batch.protocol import flow
from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.audiences.chunk import Chunk
from airflow_provider_batch.protocol.audiences.writes import AudienceWrites
from airflow_provider_batch.protocol.dialect import MEP_1_0, cep
from airflow_provider_batch.protocol.flow import Effect, no_retry
from airflow_provider_batch.protocol.retry import Backoff, Patience, Polling
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.protocol.wire import Request, Response, Sleep
from airflow_provider_batch.protocol.writes import Parcel, Receipt

MALFORMED = (
    "POST /2.11/audiences/{verb}: answered 400; MALFORMED_PARAMETER (31); Batch's text is withheld, as it quotes an "
    "id, an attribute or a tag, or may"
)

#: After a rejected write, the list is looked at: the audience exists.
LOOK = Request("GET", "/2.11/audiences/list", (("limit", "100"),))
LISTED = Response(200, {}, b'{"audiences": [{"name": "vip"}], "has_more": false}')


class Choosy:
    """Rejects every call with an id that begins with "bad", by quoting the first one."""

    def __init__(self) -> None:
        #: The verb of each call, and the ids that it had; in capitals those to remove.
        self.calls: list[str] = []
        self.tokens = 0

    def __call__(self, effect: Effect) -> Response:
        if effect == LOOK:
            return LISTED
        assert isinstance(effect, Request)
        elements = json.loads(effect.body or b"")["ids"]
        ids = [one["id"].upper() if one.get("action") == "remove" else one["id"] for one in elements]
        self.calls.append(" ".join([effect.path.rpartition("/")[2], *ids]))
        if bad := [id_ for id_ in ids if id_.lower().startswith("bad")]:
            return Response(
                400, {}, json.dumps({"code": 31, "message": f"the id {bad[0].lower()} is malformed"}).encode()
            )
        self.tokens += 1
        return Response(202, {}, json.dumps({"indexing_token": f"t{self.tokens}"}).encode())


def chunk(add_ids: str, remove_ids: str = "", number: int = 1) -> Chunk:
    """A chunk whose ids stand at every tenth place of their argument."""
    adds, removes = add_ids.split(), remove_ids.split()
    origins = (
        Block(adds, "add_ids", range(0, 10 * len(adds), 10)),
        Block(removes, "remove_ids", range(5, 10 * len(removes) + 5, 10), lambda position: f"line {position}"),
    )
    return Chunk(number, adds, removes, origins)


def audience(**more: Any) -> AudienceWrites:
    return AudienceWrites(cep().dialects[0], "vip", "custom_ids", 100, **more)


def whole_block(ids: str, argument: str, number: int = 1) -> Chunk:
    """A chunk of one block as it stands, which nothing needs to be escaped in."""
    values = ids.split()
    block = Block(values, argument, range(20, 20 + len(values)), lambda position: f"line {position}", plain=True)
    return Chunk(number, *([], block) if argument == "remove_ids" else (block, []), (block,))


def parcel(writes: AudienceWrites, chunk: Chunk) -> Parcel[Chunk]:
    request = writes.encode(chunk)
    return Parcel(writes.packed(chunk, request), request, f"digest-{chunk.number}")


def send(service: Callable[[Effect], Response], chunk: Chunk, delay: Any = no_retry, **more: Any) -> Receipt:
    writes = audience(**more)
    return flow.run(writes.send(parcel(writes, chunk), delay), service)


def bad(argument: str, position: int, place: str = "", verb: str = "update") -> Rejection:
    return Rejection(argument, position, MALFORMED.format(verb=verb), place)


def test_what_is_accepted_whole_takes_one_call() -> None:
    service = Choosy()
    assert send(service, chunk("a b", "c", 7)) == Receipt(7, 2, 1, ("t1",), "digest-7")
    assert service.calls == ["update a b C"]


def test_what_may_pass_is_tried_again() -> None:
    service = Choosy()
    answers: Iterator[Response] = iter([Response(503)])

    def busy(effect: Effect) -> Response | None:
        return None if isinstance(effect, Sleep) else next(answers, None) or service(effect)

    writes = audience()
    assert flow.run(writes.send(parcel(writes, chunk("a")), Backoff(lambda most: most)), busy).indexing_tokens == (
        "t1",
    )


def test_each_token_is_told_as_soon_as_it_is_received() -> None:
    tokens: list[str] = []
    send(Choosy(), chunk("a bad b"), on_rejected_chunk="bisect", on_token=tokens.append)
    assert tokens == ["t1", "t2"]


@pytest.mark.parametrize(
    ("how", "ids"), [({"trim_ids": True}, ["a", "b"]), ({"trim_ids": False}, ["a ", "b"]), ({}, ["a ", "b"])]
)
def test_blanks_around_ids_are_removed_on_request(how: dict[str, Any], ids: list[str]) -> None:
    assert [id_ for block in audience().intake(**how)(["a ", "b"], "ids").blocks() for id_ in block] == ids


def test_a_switch_is_no_text() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        audience().intake(trim_ids="no")  # type: ignore[arg-type]
    assert str(caught.value) == "trim_ids: 'no' is neither True nor False"


@pytest.mark.parametrize(
    ("listed", "advice"),
    [
        (Response(200, {}, b'{"audiences": [], "has_more": false}'), "create_if_missing=True creates it."),
        (Response(500), "or may"),
    ],
)
def test_a_rejected_write_says_that_the_audience_does_not_exist_if_the_list_shows_it(
    listed: Response, advice: str
) -> None:
    service = Choosy()
    with pytest.raises(BatchRequestError) as caught:
        send(lambda effect: listed if effect == LOOK else service(effect), chunk("bad"))
    assert str(caught.value).endswith(advice)


def test_what_batch_says_in_whole_sentences_is_followed_by_the_advice() -> None:
    answers = [Response(400, {}, b'{"message": "Nothing is known."}'), Response(200, {}, b'{"audiences": []}')]
    with pytest.raises(BatchRequestError) as caught:
        send(lambda effect: answers.pop(0), chunk("a"))
    assert str(caught.value) == (
        "POST /2.11/audiences/update: answered 400; Nothing is known. The audience does not exist: "
        "create_if_missing=True creates it."
    )


def test_by_default_a_rejected_chunk_is_an_error() -> None:
    service = Choosy()
    with pytest.raises(BatchRequestError, match="MALFORMED_PARAMETER"):
        send(service, chunk("a bad"))
    assert len(service.calls) == 1


def test_the_search_halves_the_chunk_until_the_rejected_ids_stand_alone() -> None:
    service = Choosy()
    told: list[tuple[Rejection, str]] = []
    receipt = send(
        service,
        chunk("a bad1 b c d", "e bad2 f", 3),
        on_rejected_chunk="bisect",
        on_rejection=lambda rejection, id_: told.append((rejection, id_)),
    )
    rejected = (bad("add_ids", 10), bad("remove_ids", 15, "line 15"))
    assert receipt == Receipt(3, 4, 2, ("t1", "t2", "t3", "t4"), "digest-3", rejected)
    assert told == [(rejected[0], "bad1"), (rejected[1], "bad2")]
    assert service.calls == [
        "update a bad1 b c d E BAD2 F",
        *("update a bad1 b c", "update a bad1", "update a", "update bad1", "update b c"),
        *("update d E BAD2 F", "update d E", "update BAD2 F", "update BAD2", "update F"),
    ]


@pytest.mark.parametrize(
    ("argument", "calls"),
    [
        ("add_ids", ["a bé bad1 c", "a bé", "bad1 c", "bad1", "c"]),
        ("remove_ids", ["A BÉ BAD1 C", "A BÉ", "BAD1 C", "BAD1", "C"]),
    ],
)
def test_the_search_finds_the_ids_of_a_whole_block_that_only_the_call_has(argument: str, calls: list[str]) -> None:
    service = Choosy()
    given = whole_block("a bé bad1 c", argument, 3)
    told: list[str] = []
    receipt = send(
        service, given, on_rejected_chunk="bisect", on_rejection=lambda rejection, id_: told.append(str(id_))
    )
    (rejection,) = receipt.rejected
    assert (rejection.argument, rejection.position, rejection.place) == (argument, 22, "line 22")
    assert (receipt.added, receipt.removed) == ((3, 0) if argument == "add_ids" else (0, 3))
    assert told == ["bad1"]
    assert service.calls == [f"update {call}" for call in calls]


def test_an_only_id_of_a_whole_block_is_asked_for_once_more() -> None:
    service = Choosy()
    receipt = send(service, whole_block("bad", "add_ids"), on_rejected_chunk="bisect")
    assert [(one.position, one.place) for one in receipt.rejected] == [(20, "line 20")]
    assert service.calls == ["update bad", "update bad"]


@pytest.mark.parametrize("argument", ["ids", "add_ids", "remove_ids"])
def test_a_parcel_of_a_whole_block_has_its_ids_in_the_call_alone(argument: str) -> None:
    given = whole_block("a b c", argument)
    kept, ids = ref(given.origins[0]), (list(given.add_ids), list(given.remove_ids))
    packed = parcel(audience(), given)
    del given
    assert kept() is None
    assert (list(packed.chunk.add_ids), list(packed.chunk.remove_ids)) == ids
    assert list(packed.request.private()) == ["a", "b", "c"]


@pytest.mark.parametrize(("status", "calls"), [(400, 3), (413, 3), (409, 1), (414, 1), (422, 1)])
def test_only_a_rejection_of_the_body_starts_a_search(status: int, calls: int) -> None:
    asked: list[Effect] = []

    def service(effect: Effect) -> Response:
        if effect == LOOK:
            return LISTED
        asked.append(effect)
        return Response(status) if len(asked) == 1 else Response(202, {}, b'{"indexing_token": "t"}')

    if calls == 1:
        with pytest.raises(BatchRequestError):
            send(service, chunk("a b"), on_rejected_chunk="bisect")
    else:
        assert send(service, chunk("a b"), on_rejected_chunk="bisect").added == 2
    assert len(asked) == calls


def test_a_replace_that_is_too_large_cannot_be_searched() -> None:
    asked: list[Effect] = []

    def service(effect: Effect) -> Response:
        asked.append(effect)
        return Response(413)

    with pytest.raises(BatchRequestError, match="answered 413"):
        send(service, chunk("a b"), on_rejected_chunk="bisect", replaces=True)
    assert len(asked) == 1


def test_an_only_id_is_asked_for_once_more() -> None:
    service = Choosy()
    assert send(service, chunk("bad"), on_rejected_chunk="bisect") == Receipt(
        1, 0, 0, (), "digest-1", (bad("add_ids", 0),)
    )
    assert service.calls == ["update bad", "update bad"]


@pytest.mark.parametrize("status", [401, 404, 422])
def test_only_what_is_malformed_is_searched(status: int) -> None:
    calls: list[Effect] = []

    def service(effect: Effect) -> Response:
        calls.append(effect)
        return Response(status)

    with pytest.raises(Exception, match=f"answered {status}"):
        send(service, chunk("a b"), on_rejected_chunk="bisect")
    assert len(calls) == 1


@pytest.mark.parametrize("status", [401, 422])
def test_the_search_ends_with_any_other_error(status: int) -> None:
    calls: list[Effect] = []

    def service(effect: Effect) -> Response:
        if effect == LOOK:
            return LISTED
        calls.append(effect)
        return Response(400 if len(calls) == 1 else status)

    with pytest.raises(Exception, match=f"answered {status}"):
        send(service, chunk("a b"), on_rejected_chunk="bisect")
    assert len(calls) == 2


def test_where_everything_is_rejected_the_search_ends_after_forty_calls() -> None:
    service = Choosy()
    with pytest.raises(BatchRequestError):
        send(service, chunk("bad " * 100), on_rejected_chunk="bisect")
    assert len(service.calls) == 1 + 40


def test_where_something_is_accepted_it_ends_after_four_hundred() -> None:
    service = Choosy()
    with pytest.raises(BatchRequestError):
        send(service, chunk("a bad " * 200), on_rejected_chunk="bisect")
    assert len(service.calls) == 1 + 400


# A chunk that replaces


def test_the_first_chunk_replaces_and_the_others_are_added() -> None:
    writes = audience(replaces=True)
    paths = [writes.encode(chunk("a", number=number)).path for number in (1, 2)]
    assert paths == ["/2.11/audiences/replace", "/2.11/audiences/update"]
    assert (writes.first_alone, audience().first_alone) == (True, False)


def test_a_replace_is_searched_by_adding_and_then_sent_without_what_is_rejected() -> None:
    service = Choosy()
    receipt = send(service, chunk("a bad b c"), on_rejected_chunk="bisect", replaces=True)
    assert receipt == Receipt(1, 3, 0, ("t3",), "digest-1", (bad("add_ids", 10),))
    assert service.calls == [
        "replace a bad b c",
        *("update a bad", "update a", "update bad", "update b c"),
        "replace a b c",
    ]


def test_a_replace_without_what_is_rejected_is_tried_again_too() -> None:
    choosy = Choosy()
    busy = [False, False, False, True]

    def service(effect: Effect) -> Response | None:
        if isinstance(effect, Sleep):
            return None
        replaces = isinstance(effect, Request) and effect.path.endswith("replace")
        return Response(503) if replaces and choosy.calls and busy.pop() else choosy(effect)

    writes = audience(on_rejected_chunk="bisect", replaces=True)
    receipt = flow.run(writes.send(parcel(writes, chunk("a bad")), Backoff(lambda most: most)), service)
    assert receipt.indexing_tokens == ("t2",)
    assert choosy.calls[-1] == "replace a"


@pytest.mark.parametrize(("number", "action"), [(1, {}), (2, {"action": "add"})])
def test_a_write_has_the_type_where_the_version_asks_for_it(number: int, action: dict[str, str]) -> None:
    writes = AudienceWrites(MEP_1_0, "vip", "advertising_ids", 100, replaces=True)
    request = writes.encode(chunk("a", number=number))
    assert json.loads(request.body or b"") == {"type": "advertising_ids", "ids": [{**action, "id": "a"}]}


def test_a_replace_of_which_nothing_is_accepted_is_an_error() -> None:
    service = Choosy()
    with pytest.raises(BatchRequestError) as caught:
        send(service, chunk("bad1 bad2"), on_rejected_chunk="bisect", replaces=True)
    assert str(caught.value) == MALFORMED.format(verb="replace")
    assert len(service.calls) == 3


def test_a_replace_by_nothing_has_nothing_to_search() -> None:
    calls: list[Effect] = []

    def service(effect: Effect) -> Response:
        if effect == LOOK:
            return LISTED
        calls.append(effect)
        return Response(400)

    with pytest.raises(BatchRequestError):
        send(service, chunk(""), on_rejected_chunk="bisect", replaces=True)
    assert len(calls) == 1


def await_first(state: str, left: float = 1.0) -> str:
    asked: list[Request] = []

    def service(effect: Effect) -> Response:
        assert isinstance(effect, Request)
        asked.append(effect)
        return Response(200, {}, json.dumps({"name": "vip", "indexing_state": state}).encode())

    polling = Polling(no_retry, lambda question: 0.1, left, lambda: 0.0)
    writes = audience(replaces=True, patience=Patience(timeout=5400.0))
    warning = flow.run(writes.await_first(Receipt(1, 1, 0, ("t1",)), polling), service)
    assert [request.query for request in asked] == [(("name", "vip"), ("indexing_token", "t1"))]
    return warning


def test_the_replace_is_waited_for_by_its_token() -> None:
    assert await_first("APPLIED") == ""


def test_a_replace_that_was_replaced_is_a_warning() -> None:
    assert await_first("REPLACED") == (
        "Batch reports that a later replace took over; the other ids are added to its members"
    )


def test_a_replace_that_is_not_confirmed_in_time_is_an_error() -> None:
    with pytest.raises(IndexingTimeoutError) as caught:
        await_first("IN_PROGRESS", left=0.0)
    assert str(caught.value) == ("vip: not confirmed after 5,400 s: 1 indexing token (t1); last state IN_PROGRESS")


# Beside the conversations


def test_what_an_earlier_try_sent_has_a_receipt_that_says_so() -> None:
    writes = audience()
    given = writes.recall(parcel(writes, chunk("a b", "c", 4)), "old")
    assert given == Receipt(4, 2, 1, ("old",), "digest-4", earlier=True)


def test_values_are_checked_by_the_rules_of_the_version() -> None:
    told: list[tuple[Rejection, object]] = []
    writes = AudienceWrites(
        MEP_1_0, "vip", "custom_ids", 2, on_rejection=lambda rejection, value: told.append((rejection, value))
    )
    intake = writes.intake("skip")(["a", "b", "c", "x" * 129], "add_ids")
    assert [list(block) for block in intake.blocks()] == [["a", "b"], ["c"]]
    assert [(rejection.where, value) for rejection, value in told] == [("add_ids[3]", "x" * 129)]
    with pytest.raises(InvalidMemberError, match=r"^vip: add_ids\[0\]: "):
        list(writes.intake()([None], "add_ids").blocks())


def test_what_is_read_twice_is_put_aside_with_a_look_for_each_block_and_a_report_of_doubts() -> None:
    class Readable:
        def __iter__(self) -> Iterator[str]:
            yield from ("a", "nan")

    doubts: list[str] = []
    steps: list[object] = []

    def put_aside(blocks: Iterable[Block]) -> list[Block]:
        steps.extend(blocks)
        return []

    intake_of = audience().intake(on_doubt=doubts.append, checkpoint=lambda: steps.append("look"), put_aside=put_aside)
    intake = intake_of(Readable(), "add_ids")
    intake.check()
    assert steps == ["look", ["a", "nan"]]
    assert doubts == [
        "vip: ids that look like missing values, such as nan or NULL (sent as they are): 1, the first at add_ids[1]"
    ]
    assert list(intake.blocks()) == []
