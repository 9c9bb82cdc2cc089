"""How profiles are sent, and what becomes of Batch's answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_batch.exceptions import BatchProtocolError
from airflow_provider_batch.protocol.dialect import MEP, Endpoint, ProfileRoute, cep
from airflow_provider_batch.protocol.flow import Done, advance, no_retry
from airflow_provider_batch.protocol.limits import Quota
from airflow_provider_batch.protocol.profiles.writes import ProfileChunk, ProfileWrites, row_of
from airflow_provider_batch.protocol.refusals import WITHHELD
from airflow_provider_batch.protocol.retry import Polling
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.protocol.wire import Response
from airflow_provider_batch.protocol.writes import Parcel, Receipt

UPDATE, MASS = cep("2.7").profile_routes


def line(id_: str, **attributes: object) -> bytes:
    return json.dumps({"identifiers": {"custom_id": id_}, "attributes": attributes}).encode() + b"\n"


LINES = [line("jane", plan="gold"), line("joe", score=7, tags={"$add": ["vip one"]}, off=None), line("jim")]


def parcel_of(writes: ProfileWrites, lines: list[bytes] | None = None) -> Parcel[ProfileChunk]:
    chunk = ProfileChunk(3, lines or LINES, lambda index, reason: Rejection("profiles", 100 + index, reason, "row"))
    return Parcel(chunk, writes.encode(chunk), "digest")


def sent(answer: object, writes: ProfileWrites | None = None, status: int = 202) -> Receipt:
    writes = writes or ProfileWrites(MASS)
    flow = writes.send(parcel_of(writes), no_retry)
    next(flow)
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    with pytest.raises(StopIteration) as ended:
        flow.send(Response(status, {}, body))
    receipt: Receipt = ended.value.value
    return receipt


def partly(*errors: object) -> dict[str, object]:
    return {"code": "SUCCESS_WITH_PARTIAL_ERRORS", "errors": list(errors)}


def test_the_routes_are_those_of_the_version() -> None:
    assert cep("2.7").profile_routes == (
        ProfileRoute("update", Endpoint("POST", "/2.7/profiles/update"), 200, Quota(1_000, 1_000 / 300)),
        ProfileRoute("mass-update", Endpoint("POST", "/2.7/profiles/mass-update"), 10_000, Quota(10_000, 1.0)),
    )
    assert MEP.profile_routes == ()


def test_a_call_holds_the_lines_as_they_are_and_counts_their_ids() -> None:
    request = parcel_of(ProfileWrites(UPDATE)).request
    assert request.route == "POST /2.7/profiles/update"
    assert json.loads(request.body or b"") == [json.loads(each) for each in LINES]
    assert (request.quota, request.ids) == (UPDATE.quota, 3)
    assert set(request.private()) == {"jane", "gold", "joe", "7", "vip one", "jim"}


@pytest.mark.parametrize("answer", [{"code": "SUCCESS"}, {}, b"", b" \n", {"code": "SUCCESS", "errors": []}], ids=repr)
def test_an_accepted_call_is_accepted_whole(answer: object) -> None:
    assert sent(answer) == Receipt(3, 3, 0, ("accepted",), "digest")
    assert sent(answer).whole


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (b"<html>Sign in</html>", 202, "with 20 bytes that are not a JSON object"),
        ([], 202, "with 2 bytes that are not a JSON object"),
        ({"code": "FAILURE"}, 202, "with a code that is not documented$"),
        ({"code": 7}, 200, "with a code that is not documented$"),
        (b"", 200, "with 0 bytes that are not a JSON object"),
    ],
)
def test_what_batch_does_not_answer_is_not_taken_for_accepted(answer: object, status: int, reason: str) -> None:
    with pytest.raises(BatchProtocolError, match=rf"^POST /2\.7/profiles/mass-update: answered {status} {reason}"):
        sent(answer, status=status)


def test_each_refused_profile_counts_once_and_is_told_by_its_place() -> None:
    told: list[tuple[Rejection, Any]] = []
    writes = ProfileWrites(MASS, lambda *each: told.append(each))
    receipt = sent(
        partly(
            {"category": "INVALID", "bulk_index": 1, "reason": "out of range", "attribute": "score"},
            {"category": "INVALID", "bulk_index": 0, "reason": "unknown"},
            {"category": "INVALID", "bulk_index": 1, "reason": "too long", "attribute": "tags"},
        ),
        writes,
    )
    assert [(one.where, one.reason) for one in receipt.rejected] == [
        ("profiles[100] (row)", "INVALID: unknown"),
        ("profiles[101] (row)", "attribute 'score': INVALID: out of range; attribute 'tags': INVALID: too long"),
    ]
    assert (receipt.added, receipt.whole) == (1, False)
    assert [rejection for rejection, _ in told] == list(receipt.rejected)
    assert [value for _, value in told] == [
        {"custom_id": "jane", "attributes": {"plan": "gold"}},
        {"custom_id": "joe", "attributes": {"score": 7, "tags": {"$add": ["vip one"]}, "off": None}},
    ]


@pytest.mark.parametrize(
    "reason", ["the value 'gold' is unknown", "JANE is no profile", "7 is too low", "not VIP ONE", "jo… joe"]
)
def test_a_reason_that_may_quote_a_value_is_withheld(reason: str) -> None:
    index = 0 if "gold" in reason or "JANE" in reason else 1
    receipt = sent(partly({"category": "INVALID", "bulk_index": index, "reason": reason}))
    (rejection,) = receipt.rejected
    assert rejection.reason.startswith("INVALID: Batch's text is withheld")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"attribute": "score", "reason": "7 is too low"}, f"attribute 'score': INVALID: {WITHHELD}"),
        ({"attribute": "tags", "reason": "more than 7"}, "attribute 'tags': INVALID: more than 7"),
        ({"attribute": "tags", "category": "JOE", "reason": "no"}, f"attribute 'tags': {WITHHELD}: no"),
    ],
)
def test_a_number_is_private_where_it_is_the_value_that_a_text_is_about(error: dict[str, str], reason: str) -> None:
    (rejection,) = sent(partly({"category": "INVALID", "bulk_index": 1, **error})).rejected
    assert rejection.reason == reason


@pytest.mark.parametrize(
    ("error", "is_shown"),
    [
        ({"attribute": "off", "reason": "the old value is kept"}, False),
        ({"reason": "the old value is kept"}, False),
        ({"attribute": "score", "reason": "out of range"}, True),
        ({"attribute": "off"}, True),
    ],
)
def test_of_an_attribute_that_is_deleted_the_old_value_is_not_quoted(error: dict[str, str], is_shown: bool) -> None:
    (rejection,) = sent(partly({"category": "INVALID", "bulk_index": 1, **error})).rejected
    assert ("withheld" not in rejection.reason) is is_shown
    assert "INVALID" in rejection.reason
    assert "old value" not in rejection.reason


@pytest.mark.parametrize("attribute", ["gold", "Jane Doe", "x" * 99])
def test_what_may_be_a_value_is_not_named_as_an_attribute(attribute: str) -> None:
    (rejection,) = sent(partly({"bulk_index": 0, "reason": "no", "attribute": attribute})).rejected
    assert rejection.reason == "no"


@pytest.mark.parametrize(
    "error",
    [None, "error", 7, [], {}, {"bulk_index": "1"}, {"bulk_index": True}, {"bulk_index": 3}, {"bulk_index": -1}],
    ids=repr,
)
def test_an_error_without_a_place_is_reported_for_the_call(error: object) -> None:
    (rejection,) = sent(partly(error)).rejected
    assert (rejection.position, "without a valid place" in rejection.reason) == (100, True)


def test_a_call_with_an_error_without_a_place_is_in_doubt_as_a_whole() -> None:
    doubted: list[Any] = []
    writes = ProfileWrites(MASS, on_doubt=doubted.append)
    sent(partly({"bulk_index": 1}), writes)
    assert doubted == []
    sent(partly({"bulk_index": 1}, {"bulk_index": 9}), writes)
    assert doubted == [LINES]


@pytest.mark.parametrize(
    "answer", [partly(), {"code": "SUCCESS_WITH_PARTIAL_ERRORS"}, {"errors": {"0": "no"}}], ids=repr
)
def test_errors_that_are_announced_but_not_listed_do_not_pass_for_none(answer: object) -> None:
    assert len(sent(answer).rejected) == 1


def test_fields_of_other_types_are_survived() -> None:
    (rejection,) = sent(partly({"bulk_index": 2, "category": 1, "reason": None, "attribute": ["a"]})).rejected
    assert (rejection.position, rejection.reason) == (102, "Batch gives no reason")


def test_a_profile_with_many_errors_tells_the_first_three() -> None:
    (rejection,) = sent(partly(*({"bulk_index": 2, "reason": f"r{n}"} for n in range(5)))).rejected
    assert rejection.reason == "r0; r1; r2"


def test_a_recalled_parcel_counts_as_accepted() -> None:
    writes = ProfileWrites(MASS)
    assert writes.recall(parcel_of(writes), "accepted") == Receipt(3, 3, 0, ("accepted",), "digest", earlier=True)


@pytest.mark.parametrize(
    ("refused", "added", "cleared"), [([], 2, 1), ([0], 1, 1), ([2], 2, 0), ([0, 1, 2], 0, 0), ([0, 2], 1, 0)]
)
def test_profiles_to_clear_are_counted_apart(refused: list[int], added: int, cleared: int) -> None:
    writes = ProfileWrites(MASS)
    chunk = ProfileChunk(3, LINES, lambda index, reason: Rejection("profiles", index, reason), cleared=1)
    flow = writes.send(Parcel(chunk, writes.encode(chunk), "digest"), no_retry)
    next(flow)
    answer = partly(*({"bulk_index": index, "reason": "no"} for index in refused)) if refused else {}
    with pytest.raises(StopIteration) as ended:
        flow.send(Response(202, {}, json.dumps(answer).encode()))
    receipt: Receipt = ended.value.value
    assert (receipt.added, receipt.removed, len(receipt.rejected)) == (added, cleared, len(refused))


def test_what_is_accepted_is_not_waited_for() -> None:
    writes = ProfileWrites(MASS)
    polling = Polling(no_retry, lambda poll: 1.0, 0.0, lambda: 0.0)
    assert advance(writes.await_first(sent({}), polling), None) == Done("")
    assert not writes.first_alone


def test_a_line_gives_its_row_back() -> None:
    assert row_of(LINES[0]) == {"custom_id": "jane", "attributes": {"plan": "gold"}}


def test_nothing_private_is_in_a_repr() -> None:
    parcel = parcel_of(ProfileWrites(MASS))
    assert not any(private in repr(parcel) + repr(parcel.chunk) for private in ("jane", "gold"))
