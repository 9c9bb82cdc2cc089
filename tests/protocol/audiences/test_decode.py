from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import (
    BatchAPIError,
    BatchAuthenticationError,
    BatchError,
    BatchNotFoundError,
    BatchProtocolError,
    BatchRateLimitError,
    BatchRequestError,
    BatchServerError,
    InvalidArgumentError,
)
from airflow_provider_batch.protocol.audiences import decode, encode
from airflow_provider_batch.protocol.audiences.audience import AudiencePage, CustomAudience, IndexingState
from airflow_provider_batch.protocol.audiences.chunk import Chunk
from airflow_provider_batch.protocol.audiences.tokens import read_indexing_tokens
from airflow_provider_batch.protocol.dialect import MEP_1_0, MEP_1_1, Dialect, cep
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.refusals import raise_for_status
from airflow_provider_batch.protocol.wire import Request, Response
from tests.clock import local_zone

steady = settings(max_examples=150, deadline=None, derandomize=True)

VIEW = encode.view_custom_audience(MEP_1_0, "vip", "t0")
LIST = encode.list_custom_audiences(MEP_1_0, limit=1)

#: https://doc.batch.com/developer/api/mep/custom-audience/1.0/update
DOCUMENTED: list[tuple[str, int, int, type[BatchAPIError]]] = [
    ("AUTHENTICATION_INVALID", 401, 10, BatchAuthenticationError),
    ("API_MISUSE", 403, 12, BatchAuthenticationError),
    ("ROUTE_NOT_FOUND", 404, 20, BatchNotFoundError),
    ("MISSING_PARAMETER", 400, 30, BatchRequestError),
    ("MALFORMED_PARAMETER", 400, 31, BatchRequestError),
    ("MALFORMED_JSON_BODY", 400, 32, BatchRequestError),
    ("SERVER_ERROR", 500, 1, BatchServerError),
    ("MAINTENANCE_ERROR", 503, 2, BatchServerError),
]

NO_OBJECTS = [
    pytest.param(b"", id="empty"),
    pytest.param(b"<html>Bad gateway</html>", id="html"),
    pytest.param(b"[]", id="a list"),
    pytest.param(b"7", id="a number"),
    pytest.param(b'"text"', id="a text"),
    pytest.param(b"null", id="null"),
    pytest.param(b"NaN", id="no number"),
    pytest.param(b'{"indexing_token": "t', id="cut short"),
    pytest.param(b"[" * 100_000, id="deep"),
    pytest.param(b'{"a":' * 100_000, id="deep objects"),
    pytest.param(b"[" * 100_000 + b"]" * 100_000, id="deep and closed"),
    pytest.param(b"\xff\xfe\xfa", id="no UTF-8"),
    pytest.param(b'{"message": "\xff"}', id="no UTF-8 inside"),
    pytest.param(b"\0\0\0\0", id="zeros"),
    pytest.param(b"9" * 5000, id="a long number"),
]


def page_of(response: Response, request: Request) -> AudiencePage:
    return decode.audience_page(MEP_1_0, response, LIST)


def update(*members: str) -> Request:
    return encode.update_custom_audience(MEP_1_0, "vip", "custom_ids", Chunk(1, members or ("a",), ()))


def said(answer: object, status: int = 400, **headers: str) -> Response:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def error_of(response: Response, request: Request = VIEW) -> BatchAPIError:
    with pytest.raises(BatchAPIError) as caught:
        raise_for_status(response, request)
    return caught.value


def viewed(answer: object) -> CustomAudience:
    return decode.custom_audience(said(answer, 200), VIEW)


SPELLINGS: dict[str, Callable[[str, int], object]] = {
    "code is a number": lambda name, number: {"code": number, "message": "no"},
    "code is digits": lambda name, number: {"code": str(number), "message": "no"},
    "code is a name": lambda name, number: {"code": name, "message": "no"},
    "error_code is a number": lambda name, number: {"error_code": number, "error_message": "no"},
    "error_code is digits": lambda name, number: {"error_code": str(number), "error_message": "no"},
    "error_code is a name": lambda name, number: {"error_code": name, "error_message": "no"},
    "error_code goes before code": lambda name, number: {"error_code": name, "code": 0, "message": "no"},
    "a null is no code": lambda name, number: {"error_code": None, "code": number, "message": "no"},
    "nested": lambda name, number: {"error": {"code": number, "message": "no"}},
    "nested, a name": lambda name, number: {"error": {"error_code": name, "error_message": "no"}},
}


@pytest.mark.parametrize(("name", "status", "number", "kind"), DOCUMENTED)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_documented_error_is_known_in_every_spelling(
    name: str, status: int, number: int, kind: type[BatchAPIError], spelling: str
) -> None:
    error = error_of(said(SPELLINGS[spelling](name, number), status))
    assert (type(error), error.status, error.code, error.number) == (kind, status, name, number)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_text_of_an_error_is_repeated(spelling: str) -> None:
    assert "; no" in str(error_of(said(SPELLINGS[spelling]("MALFORMED_PARAMETER", 31))))


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (300, BatchAPIError, False),
        (301, BatchAPIError, False),
        (302, BatchAPIError, False),
        (304, BatchAPIError, False),
        (307, BatchAPIError, False),
        (308, BatchAPIError, False),
        (399, BatchAPIError, False),
        (400, BatchRequestError, False),
        (401, BatchAuthenticationError, False),
        (402, BatchRequestError, False),
        (403, BatchAuthenticationError, False),
        (404, BatchNotFoundError, False),
        (409, BatchRequestError, False),
        (413, BatchRequestError, False),
        (422, BatchRequestError, False),
        (429, BatchRateLimitError, True),
        (499, BatchRequestError, False),
        (500, BatchServerError, True),
        (502, BatchServerError, True),
        (503, BatchServerError, True),
        (504, BatchServerError, True),
        (599, BatchServerError, True),
    ],
)
def test_the_status_decides_the_class(status: int, kind: type[BatchAPIError], retryable: bool) -> None:
    error = error_of(said({"code": 32}, status))
    assert (type(error), error.retryable) == (kind, retryable)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_a_yes(status: int) -> None:
    raise_for_status(Response(status), VIEW)


def test_an_error_says_each_thing_once_and_then_what_to_do() -> None:
    answer = {"code": "NOT_KNOWN", "message": "NOT_KNOWN"}
    assert str(error_of(said(answer, 400))) == f"{VIEW.route}: answered 400; NOT_KNOWN"
    answer = {"code": "NOT_KNOWN", "message": "Somebody said so."}
    remedy = "Check that both keys belong to the same company, and app or project"
    assert str(error_of(said(answer, 403))).startswith(
        f"{VIEW.route}: answered 403; NOT_KNOWN; Somebody said so. {remedy}"
    )


def test_only_of_a_request_for_an_address_a_redirect_is_an_answer() -> None:
    request = replace(VIEW, redirects=True)
    for status in (300, 307, 399):
        raise_for_status(Response(status), request)
    with pytest.raises(BatchRequestError):
        raise_for_status(Response(400), request)


@pytest.mark.parametrize("status", [100, 103, 199])
def test_what_precedes_the_answer_is_none(status: int) -> None:
    with pytest.raises(BatchProtocolError) as caught:
        raise_for_status(Response(status), VIEW)
    assert str(caught.value) == f"{VIEW.route}: answered {status}, which is not a final status"


@pytest.mark.parametrize("status", [300, 302, 399])
def test_a_redirect_is_explained(status: int) -> None:
    assert str(error_of(Response(status, {"location": "https://elsewhere"}))) == (
        f"{VIEW.route}: answered {status}. Check the connection's host: redirects are not followed, as the keys must "
        "not reach another host."
    )


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "REST API key"), (403, "lack the permission"), (404, "audience exists")]
)
def test_an_error_that_a_setting_may_cause_names_a_remedy(status: int, remedy: str) -> None:
    assert remedy in str(error_of(Response(status)))


def test_an_error_names_the_route_and_the_status() -> None:
    error = error_of(Response(418))
    assert (error.route, str(error)) == (VIEW.route, f"{VIEW.route}: answered 418")


@pytest.mark.parametrize("body", NO_OBJECTS)
def test_without_a_json_object_the_status_is_all_there_is(body: bytes) -> None:
    error = error_of(said(body, 503))
    assert (type(error), error.code, error.number, str(error)) == (
        BatchServerError,
        None,
        None,
        f"{VIEW.route}: answered 503",
    )


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"error": "no"},
        {"error": None},
        {"code": None},
        {"code": []},
        {"code": True},
        {"code": 1.5},
        {"code": " "},
        {"message": 7},
        {"message": ["a"]},
    ],
)
def test_an_object_without_code_and_text_leaves_the_status(answer: object) -> None:
    error = error_of(said(answer, 400))
    assert (error.code, error.number, str(error)) == (None, None, f"{VIEW.route}: answered 400")


@pytest.mark.parametrize(
    ("code", "name", "number"),
    [
        ("SOMETHING_NEW", "SOMETHING_NEW", None),
        (99, None, 99),
        ("99", None, 99),
        (10**9 - 1, None, 10**9 - 1),
        (10**9, None, None),
        ("9" * 9, None, 10**9 - 1),
        ("9" * 10, "9" * 10, None),
        (" API_MISUSE ", "API_MISUSE", 12),
        ("٣", "٣", None),
    ],
)
def test_an_unknown_code_is_passed_on(code: object, name: str | None, number: int | None) -> None:
    error = error_of(said({"code": code}))
    assert (error.code, error.number) == (name, number)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("code", "x" * 5000),
        ("code", "9" * 5000),
        ("message", "x" * 5000),
        ("code", "\n\x1b[31m\0a"),
        ("message", "\n\x1b[31m\0\u202e\ud800"),
    ],
)
def test_what_batch_says_is_one_short_printable_line(key: str, text: str) -> None:
    message = str(error_of(said({key: text})))
    assert message.isprintable()
    assert len(message) < 450


def test_a_long_number_of_an_error_is_not_repeated_as_a_whole() -> None:
    assert len(str(error_of(said(b'{"code":' + b"9" * 4000 + b"}")))) < 450


SECRETS = ("SECRET-1", "secret.2+x@example.com", "sécret 3", 'se"cret', "SECRET\n4", "  secret5  ")


@pytest.mark.parametrize("member", SECRETS)
@pytest.mark.parametrize("words", ["{}", "bad id {}", "'{}' is bad", "[{}]", "id={};", "{}, {}"])
@pytest.mark.parametrize("key", ["code", "message", "error_code", "error_message"])
def test_an_id_of_the_call_is_not_in_what_batch_says(key: str, words: str, member: str) -> None:
    error = error_of(said({key: words.replace("{}", member)}), update("other", member))
    shown = repr([str(error), error.code, error.args, vars(error)])
    assert member.strip().replace("\n", " ") not in shown.replace('\\"', '"')


WITHHELD = "answered 400; Batch's text is withheld, as it quotes an id, an attribute or a tag, or may"


@pytest.mark.parametrize(
    ("message", "members"),
    [
        ("the id SECRET-1 is not allowed", ("SECRET-1",)),
        ("the id secret-1 is not allowed", ("other", "SECRET-1")),
        ("a formula is bad", ("a",)),
        ("bad: SECRET SECRET-2", ("SECRET", "SECRET-2")),
    ],
)
def test_a_text_that_quotes_an_id_is_withheld_as_a_whole(message: str, members: tuple[str, ...]) -> None:
    assert str(error_of(said({"message": message}, 400), update(*members))).endswith(WITHHELD)


def test_a_text_that_quotes_none_remains() -> None:
    error = error_of(said({"message": "a formula is bad"}), update("formulae", "la", "b"))
    assert str(error).endswith("a formula is bad")


@pytest.mark.parametrize("code", ["secret-1", "U0VDUkVULTE=", 4815, "4815"])
def test_a_code_that_is_an_id_is_withheld(code: object) -> None:
    error = error_of(said({"code": code, "message": "bad"}, 400), update("SECRET-1", "4815"))
    assert (error.code, error.number) == (None, None)
    assert str(error).endswith(WITHHELD)


@pytest.mark.parametrize("code", [31, "MALFORMED_PARAMETER"])
def test_a_code_of_batchs_own_stays_though_an_id_looks_like_it(code: object) -> None:
    error = error_of(said({"code": code}, 400), update("31", "malformed_parameter"))
    assert (error.code, error.number) == ("MALFORMED_PARAMETER", 31)


@pytest.mark.parametrize("words", [20, 200])
@pytest.mark.parametrize("many", [12, 30, 170, 1000])
def test_an_id_on_the_edge_of_a_long_text_is_withheld(many: int, words: int) -> None:
    members = [f"{number:03d}-{'secret' * words}" for number in range(many)]
    error = error_of(said({"message": " ".join(members)}), update(*members))
    assert "secret" not in str(error)


NOW = "Wed, 21 Oct 2015 07:28:00 GMT"
NOW_IN_SECONDS = 1445412480.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("9", 9.0),
        ("0", 0.0),
        (" 9 ", 9.0),
        ("007", 7.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("Wednesday, 21-Oct-15 07:29:00 GMT", 60.0),
        ("Wed, 21 Oct 2015 09:28:30 +0200", 30.0),
        ("Wed, 21 Oct 2015 07:28:30 -0000", 30.0),
        ("Wed Oct 21 07:28:30 2015", 30.0),  # the oldest format that HTTP has, which names no zone
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
    ],
)
@pytest.mark.parametrize("date", [NOW, None])
def test_retry_after_is_read_in_seconds_and_as_a_date(value: str, seconds: float | None, date: str | None) -> None:
    headers = {"retry-after": value} | ({"date": date} if date else {})
    # With a Date header the server's clock counts, not the caller's.
    received_at = NOW_IN_SECONDS if date is None else 0.0
    assert error_of(Response(429, headers, b"", received_at)).retry_after == seconds


def test_an_error_says_how_long_batch_requires_to_wait() -> None:
    assert str(error_of(Response(429, {"retry-after": "1200"}))) == (
        f"{VIEW.route}: answered 429; Batch requires a wait of 1,200 s. Lower requests_per_second in the connection's "
        "extra, and limit several tasks with a pool."
    )


def test_retry_after_in_digits_without_end_is_a_finite_wait() -> None:
    assert error_of(said(b"", 429, retry_after="9" * 10_000)).retry_after == 999_999_999


@pytest.mark.parametrize(
    "date", ["today", "Mon, 99 Foo 0 99:99:99 +9999999999", "Wed, 21 Oct 2015 07:28:00 +9999999999"]
)
def test_retry_after_as_a_date_beside_a_nonsensical_date_counts_from_our_own_clock(date: str) -> None:
    then = parsedate_to_datetime(NOW).timestamp()
    response = replace(said(b"", 503, retry_after=NOW, date=date), received_at=then - 30)
    assert error_of(response).retry_after == 30.0


def test_without_retry_after_nothing_is_asked() -> None:
    assert error_of(Response(503)).retry_after is None


@pytest.mark.parametrize("status", [200, 201, 202])
def test_an_accepted_write_gives_its_token(status: int) -> None:
    assert decode.indexing_token(said({"indexing_token": "t0", "more": 1}, status), update()) == "t0"


#: What a wait would refuse as well.
NO_TOKENS = [None, "", " \n", 7, ["t0"], {"t": 0}, True, "a b", "None", "a\u200bb", "<html>", "[t0]", "x" * 1_025]


@pytest.mark.parametrize("token", NO_TOKENS)
def test_a_token_that_is_none_is_refused(token: object) -> None:
    with pytest.raises(BatchProtocolError, match="answered 201 without an indexing_token"):
        decode.indexing_token(said({"indexing_token": token}, 201), update())


@pytest.mark.parametrize("token", NO_TOKENS)
def test_what_is_refused_as_an_answer_is_refused_by_a_wait(token: object) -> None:
    if token not in (["t0"], "[t0]"):
        with pytest.raises(InvalidArgumentError):
            read_indexing_tokens(token)


def test_a_long_token_is_read_and_waited_for() -> None:
    token = "x" * 1_024
    assert decode.indexing_token(said({"indexing_token": token}, 201), update()) == token
    assert read_indexing_tokens(token) == [token]


@pytest.mark.parametrize("state", ["APPLIED", "IN_PROGRESS"])
def test_a_view_of_another_audience_confirms_nothing(state: str) -> None:
    with pytest.raises(BatchProtocolError, match="answered 200 with another audience") as caught:
        decode.custom_audience(said({"name": "other", "indexing_state": state}, 200), VIEW)
    assert "other" not in str(caught.value).replace("another", "")


def test_a_token_with_a_lone_surrogate_is_refused() -> None:
    # It could not be asked for again: a URL is written in UTF-8.
    with pytest.raises(BatchProtocolError):
        decode.indexing_token(said({"indexing_token": "\ud800"}, 201), update())


def test_a_missing_token_is_refused() -> None:
    with pytest.raises(BatchProtocolError, match="answered 201 without an indexing_token"):
        decode.indexing_token(said({}, 201), update())


@pytest.mark.parametrize("read", [decode.indexing_token, decode.custom_audience, page_of])
@pytest.mark.parametrize("body", NO_OBJECTS)
def test_a_yes_that_is_no_json_object_breaks_the_protocol(
    read: Callable[[Response, Request], Any], body: bytes
) -> None:
    with pytest.raises(BatchProtocolError) as caught:
        read(said(body, 200), VIEW)
    assert str(caught.value).partition(": ")[2] == (
        f"answered 200 with {len(body):,} bytes that are not a JSON object. Check the connection's host, and any proxy "
        "in between."
    )


def test_an_answer_that_breaks_the_protocol_is_not_quoted() -> None:
    with pytest.raises(BatchProtocolError) as caught:
        decode.indexing_token(said(b"SECRET-1", 201), update("SECRET-1"))
    assert "SECRET" not in repr([caught.value, caught.value.__context__, caught.value.__cause__])


def test_a_view_is_read_with_all_its_fields() -> None:
    answer = {
        "name": "vip",
        "type": "custom_ids",
        "description": "Best customers",
        "created": "2018-06-29T13:12:09",
        "updated": "2018-06-29T13:12:10",
        "nb_ids": 7,
        "indexing_state": "APPLIED",
    }
    assert viewed(answer) == CustomAudience(
        name="vip",
        type="custom_ids",
        description="Best customers",
        nb_ids=7,
        created=datetime(2018, 6, 29, 13, 12, 9, tzinfo=UTC),
        updated=datetime(2018, 6, 29, 13, 12, 10, tzinfo=UTC),
        indexing_state=IndexingState.APPLIED,
        reported_state="APPLIED",
    )


def test_a_number_of_ids_may_be_as_large_as_databases_hold() -> None:
    assert viewed({"indexing_state": "APPLIED", "nb_ids": 2**63}).nb_ids == 2**63


def test_a_view_with_nothing_but_a_state_is_enough() -> None:
    assert viewed({"indexing_state": "APPLIED"}) == CustomAudience(
        "vip", None, None, None, None, None, IndexingState.APPLIED, "APPLIED"
    )


@pytest.mark.parametrize(
    "answer",
    [
        {"name": 7, "type": 7, "description": [], "nb_ids": "7", "created": 7, "updated": {}},
        {"name": None, "type": None, "description": None, "nb_ids": None, "created": None, "updated": None},
        {"name": "", "type": True, "description": {}, "nb_ids": True, "created": "", "updated": "yesterday"},
        {"nb_ids": 7.5},
        {"nb_ids": 10**400},
        {"nb_ids": 2**63 + 1},
    ],
)
def test_fields_of_another_type_are_taken_for_missing(answer: dict[str, object]) -> None:
    assert viewed(answer | {"indexing_state": "APPLIED"}) == viewed({"indexing_state": "APPLIED"})


@pytest.mark.parametrize("state", [None, 7, True, [], {}])
def test_a_view_without_a_state_breaks_the_protocol(state: object) -> None:
    with pytest.raises(BatchProtocolError, match="answered 200 without an indexing_state"):
        viewed({"indexing_state": state})


@pytest.mark.parametrize(
    ("word", "state", "finished"),
    [
        ("IN_PROGRESS", IndexingState.IN_PROGRESS, False),
        ("IN_PROCESS", IndexingState.IN_PROGRESS, False),
        ("APPLIED", IndexingState.APPLIED, True),
        ("REPLACED", IndexingState.REPLACED, True),
        ("FAILED", IndexingState.UNKNOWN, False),
        ("applied", IndexingState.UNKNOWN, False),
        ("UNKNOWN", IndexingState.UNKNOWN, False),
        ("", IndexingState.UNKNOWN, False),
    ],
)
def test_a_state_is_known_or_unknown(word: str, state: IndexingState, finished: bool) -> None:
    audience = viewed({"indexing_state": word})
    assert (audience.indexing_state, audience.is_indexed, audience.reported_state) == (
        state,
        finished,
        word,
    )


def test_an_unknown_state_is_reported_on_one_short_line() -> None:
    assert viewed({"indexing_state": "A\nB" + "x" * 1000}).reported_state == "A B" + "x" * 61


@pytest.mark.parametrize(
    "text",
    [
        "2018-06-29T13:12:09",
        "2018-06-29T13:12:09Z",
        "2018-06-29T13:12:09+00:00",
        "2018-06-29 13:12:09",
        "2018-06-29T13:12:09.000Z",
    ],
)
def test_a_date_without_a_zone_is_in_utc(text: str) -> None:
    assert viewed({"indexing_state": "APPLIED", "created": text}).created == datetime(
        2018, 6, 29, 13, 12, 9, tzinfo=UTC
    )


def test_a_date_with_another_zone_is_the_same_moment() -> None:
    created = viewed({"indexing_state": "APPLIED", "created": "2018-06-29T15:12:09+02:00"}).created
    assert created == datetime(2018, 6, 29, 13, 12, 9, tzinfo=UTC)


def test_a_date_with_another_zone_is_given_in_utc() -> None:
    created = viewed({"indexing_state": "APPLIED", "created": "2018-06-29T15:12:09+02:00"}).to_dict()["created"]
    assert created == "2018-06-29T13:12:09+00:00"


def test_a_date_is_in_utc_wherever_this_machine_stands() -> None:
    view = {"indexing_state": "APPLIED", "created": "2018-06-29T13:12:09", "updated": "2018-06-29T15:12:09+02:00"}
    with local_zone("Asia/Tokyo"):
        shown = viewed(view).to_dict()
    assert shown["created"] == shown["updated"] == "2018-06-29T13:12:09+00:00"


@pytest.mark.parametrize("name", ["vip", None, 7])
def test_an_audience_has_the_name_that_it_was_asked_by(name: object) -> None:
    assert viewed({"indexing_state": "APPLIED", "name": name}).name == "vip"


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_a_date_beyond_the_calendar_is_taken_for_missing(text: str) -> None:
    assert viewed({"indexing_state": "APPLIED", "created": text}).created is None


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2018-13-01T00:00:00", "2018-06-29T25:00:00", "0", "1530278000", "\0"]
)
def test_a_nonsensical_date_is_taken_for_missing(text: str) -> None:
    assert viewed({"indexing_state": "APPLIED", "updated": text}).updated is None


def test_a_view_is_given_in_the_types_of_json() -> None:
    audience = viewed({"indexing_state": "IN_PROCESS", "nb_ids": 7, "created": "2018-06-29T13:12:09"})
    given = {
        "name": "vip",
        "type": None,
        "description": None,
        "nb_ids": 7,
        "created": "2018-06-29T13:12:09+00:00",
        "updated": None,
        "indexing_state": "IN_PROGRESS",
    }
    assert json.loads(json.dumps(audience.to_dict())) == given
    later = viewed({"indexing_state": "APPLIED", "updated": "2018-06-29T13:12:09"}).to_dict()
    assert (later["created"], later["updated"]) == (None, "2018-06-29T13:12:09+00:00")


@pytest.mark.parametrize(
    "answer",
    [{}, {"custom_audiences": {}}, {"custom_audiences": ["vip"]}, {"custom_audiences": [{}]}, {"audiences": []}],
)
def test_what_is_no_list_of_audiences_breaks_the_protocol(answer: object) -> None:
    with pytest.raises(BatchProtocolError, match="answered 200 without custom_audiences"):
        page_of(said(answer, 200), LIST)


known_keys = st.sampled_from(
    [
        "error",
        "code",
        "error_code",
        "message",
        "error_message",
        "indexing_token",
        "indexing_state",
        "name",
        "type",
        "description",
        "nb_ids",
        "created",
        "updated",
        "custom_audiences",
    ]
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known_keys | st.text(max_size=5), inner, max_size=5),
    max_leaves=10,
)
bodies = st.one_of(
    st.binary(max_size=60),
    any_json.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(known_keys, any_json, max_size=6).map(lambda value: json.dumps(value).encode()),
)
headers = st.dictionaries(
    st.sampled_from(["retry-after", "date", "content-type"]),
    st.text(max_size=30) | st.text(alphabet="0123456789 ,:+-JanGMT", max_size=40) | st.just(NOW),
)
responses = st.builds(Response, st.integers(100, 999), headers, bodies, st.floats(0, 4e9))


def outcome(read: Callable[[Response, Request], Any], response: Response, request: Request) -> Any:
    """The value or the error of Batch's; any other exception gets out."""
    try:
        return read(response, request)
    except BatchError as error:
        return error


@steady
@given(
    responses.filter(lambda response: response.status >= 300),
    st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_a_status_that_is_no_success_ends_in_one_tame_error(response: Response, members: list[str]) -> None:
    error = outcome(raise_for_status, response, Request("PATCH", "/1.0", (), b"", lambda: members))
    assert isinstance(error, BatchAPIError)
    assert str(error).isprintable()
    assert error.retry_after is None or 0 <= error.retry_after < 1e12


@pytest.mark.parametrize(
    ("read", "kind"),
    [(decode.indexing_token, str), (decode.custom_audience, CustomAudience), (page_of, AudiencePage)],
)
@steady
@given(responses)
def test_any_answer_ends_in_the_documented_value_or_an_error_of_the_protocol(
    read: Callable[[Response, Request], Any], kind: type, response: Response
) -> None:
    assert isinstance(outcome(read, response, VIEW), (kind, BatchProtocolError))


@pytest.mark.parametrize("status", [100, 103, 199])
def test_what_comes_before_an_answer_is_none(status: int) -> None:
    error = outcome(raise_for_status, Response(status), Request("PATCH", "/1.0"))
    assert isinstance(error, BatchProtocolError)
    assert error.retryable


# Creating and deleting.

CEP = cep().dialects[0]
CREATE = encode.create_custom_audience(CEP, "vip", "custom_ids")


@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize(
    ("body", "token"),
    [
        (b"", None),
        (b" \n", None),
        (b"{}", None),
        (b'{"indexing_token": null}', None),
        (b'{"indexing_token": ""}', None),
        (b'{"indexing_token": ["t"]}', None),
        (b'{"indexing_token": "t"}', "t"),
        (b'{"indexing_token": "t", "name": "vip"}', "t"),
    ],
)
def test_a_token_may_be_missing_where_no_page_promises_it(status: int, body: bytes, token: str | None) -> None:
    assert decode.optional_indexing_token(Response(status, {}, body), CREATE) == token


@pytest.mark.parametrize("body", [param for param in NO_OBJECTS if param.id != "empty"])
def test_what_batch_would_not_say_is_no_sign_that_a_write_was_done(body: bytes) -> None:
    with pytest.raises(BatchProtocolError, match="not a JSON object"):
        decode.optional_indexing_token(Response(200, {}, body), CREATE)


# Lists in both styles.


def listed(dialect: Dialect, page: object, start: int | str | None = None, limit: int = 2) -> AudiencePage:
    request = encode.list_custom_audiences(dialect, start, limit=limit)
    return decode.audience_page(dialect, Response(200, {}, json.dumps(page).encode()), request)


def items(count: int) -> list[dict[str, str]]:
    return [{"name": f"a{number}"} for number in range(count)]


@pytest.mark.parametrize(
    ("count", "start", "next_start"),
    [(0, None, None), (1, None, None), (2, None, 2), (2, 2, 4), (1, 4, None), (0, 4, None), (3, 2, 5)],
)
def test_a_full_page_is_followed_by_the_offset_behind_it(count: int, start: int | None, next_start: int | None) -> None:
    page = listed(MEP_1_1, {"custom_audiences": items(count)}, start)
    assert (len(page.audiences), page.next_start) == (count, next_start)


@pytest.mark.parametrize(
    ("more", "next_start"),
    [
        ({"has_more": True, "next_from": "abc"}, "abc"),
        ({"has_more": True, "next_from": 7}, "7"),
        ({"has_more": False, "next_from": "abc"}, None),
        ({"has_more": False}, None),
        ({"has_more": "true", "next_from": "abc"}, None),
        ({"has_more": None}, None),
        ({"count": 2}, None),
    ],
)
def test_a_page_with_a_cursor_is_followed_where_there_is_more(more: dict[str, Any], next_start: str | None) -> None:
    assert listed(CEP, {"audiences": items(2), **more}).next_start == next_start


@pytest.mark.parametrize("more", [{}, {"next_from": None}, {"next_from": ["abc"]}, {"next_from": "abc"}])
def test_more_without_a_way_to_it_is_an_error(more: dict[str, Any]) -> None:
    with pytest.raises(BatchProtocolError, match="answered has_more, but without a next_from"):
        listed(CEP, {"audiences": items(2), "has_more": True, **more}, start="abc")


@pytest.mark.parametrize(("dialect", "other"), [(CEP, "custom_audiences"), (MEP_1_0, "audiences")])
def test_a_list_is_read_by_the_name_of_its_version(dialect: Dialect, other: str) -> None:
    with pytest.raises(BatchProtocolError, match=f"without {dialect.audiences}"):
        listed(dialect, {other: items(1)})


@pytest.mark.parametrize("page", [{"audiences": None}, {"audiences": {}}, {"audiences": [7]}, {"audiences": [{}]}])
def test_a_list_of_something_else_is_an_error(page: object) -> None:
    with pytest.raises(BatchProtocolError, match="without audiences"):
        listed(CEP, page)


def test_an_item_of_the_newer_platform_is_told_in_the_words_of_the_older() -> None:
    item = {
        "name": "vip",
        "display_name": "Best customers",
        "type": "CUSTOM_ID",
        "nb_ids": 7,
        "indexing_state": "REPLACED",
        "created": "2018-06-29T13:12:09Z",
        "updated": "2018-06-29T15:12:10.5+02:00",
    }
    (audience,) = listed(CEP, {"audiences": [item]}).audiences
    assert audience == CustomAudience(
        "vip",
        "custom_ids",
        "Best customers",
        7,
        datetime(2018, 6, 29, 13, 12, 9, tzinfo=UTC),
        datetime(2018, 6, 29, 13, 12, 10, 500_000, tzinfo=UTC),
        IndexingState.REPLACED,
        "REPLACED",
    )


def test_a_name_that_is_a_number_is_read_as_text() -> None:
    (audience,) = listed(CEP, {"audiences": [{"name": 7}]}).audiences
    assert audience.name == "7"


def test_an_item_of_the_older_list_has_no_state() -> None:
    (audience,) = listed(MEP_1_0, {"custom_audiences": [{"name": "vip", "type": "custom_ids"}]}).audiences
    assert (audience.indexing_state, audience.reported_state, audience.is_indexed) == (None, "", False)
    assert audience.to_dict()["indexing_state"] is None


@pytest.mark.parametrize(
    ("answered", "told"), [("CUSTOM_ID", "custom_ids"), ("custom_ids", "custom_ids"), ("EMAIL", "EMAIL"), (7, None)]
)
def test_a_type_is_told_in_the_spelling_it_is_asked_in(answered: object, told: str | None) -> None:
    (audience,) = listed(CEP, {"audiences": [{"name": "vip", "type": answered}]}).audiences
    assert audience.type == told


# What is private about a member.


def refused(message: str, *members: str) -> str:
    request = encode.update_custom_audience(CEP, "vip", "custom_ids", Chunk(1, members, ()))
    with pytest.raises(BatchError) as caught:
        raise_for_status(Response(400, {}, json.dumps({"error_message": message}).encode()), request)
    return str(caught.value)


KNOWN = {"plan": "solid gold", "age": 4217, "date(born)": "1980-02-29T00:00:00Z", "likes": ["chess club", "x", 12.25]}
JANE = AnnotatedId("jane", json.dumps({"attributes": KNOWN, "tags": ["lapsed"]})[1:-1])


@pytest.mark.parametrize(
    "private", ["jane", "solid gold", "4217", "1980-02-29T00:00:00Z", "chess club", "x", "12.25", "lapsed"]
)
@pytest.mark.parametrize("words", ["%s", "the value %s is wrong", "«%s»", '{"value": "%s"}', "a:%s,b"])
def test_attributes_and_tags_are_withheld_like_ids(private: str, words: str) -> None:
    assert refused(words % private, "plain", JANE).endswith(WITHHELD)


def test_the_names_of_attributes_remain() -> None:
    assert "plan of a member must be a number" in refused("plan of a member must be a number", JANE)


def test_a_text_that_is_too_long_to_be_searched_is_withheld() -> None:
    assert refused("-" * 4_000, "i").endswith(f"answered 400; {'-' * 300}")
    assert refused("-" * 4_001, "i").endswith(WITHHELD)


@pytest.mark.parametrize("before", [0, 3_990, 3_999])
def test_an_attribute_that_is_cut_off_is_not_told_in_part(before: int) -> None:
    value = "SECRET-" * 1_000
    member = AnnotatedId("i", json.dumps({"attributes": {"note": value}})[1:-1])
    assert "SECRET" not in refused("-" * before + value, member)
    assert "SECRET" not in refused("i i i " * (before // 6) + value, member)
