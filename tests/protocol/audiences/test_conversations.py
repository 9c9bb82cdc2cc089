"""Creating, deleting and listing as conversations with a service that a test can let down."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import (
    BatchAuthenticationError,
    BatchConnectionError,
    BatchError,
    BatchProtocolError,
    BatchRateLimitError,
    IndexingTimeoutError,
)
from airflow_provider_batch.protocol import flow
from airflow_provider_batch.protocol.audiences import conversations, encode
from airflow_provider_batch.protocol.audiences.audience import CustomAudience, IndexingOutcome, IndexingState
from airflow_provider_batch.protocol.audiences.chunk import Chunk
from airflow_provider_batch.protocol.dialect import MEP_1_0, MEP_1_1, Dialect, cep
from airflow_provider_batch.protocol.flow import Answer, Effect
from airflow_provider_batch.protocol.retry import Backoff, Polling
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.protocol.wire import Request, Response, Sleep

CEP = cep().dialects[0]
EVERY = pytest.mark.parametrize("dialect", [MEP_1_0, MEP_1_1, CEP], ids=["1.0", "1.1", "2.x"])
TYPES = {"1.0": "custom_ids", "1.1": "install_ids", "2.11": "custom_ids"}
LOST = BatchConnectionError("no answer")
PATIENT = Backoff(lambda most: most, attempts=3)

#: An answer, and whether the write is done before it is given.
Fault = tuple[Answer, bool]
HTML = Response(200, {}, b"<html>please sign in</html>")
TORN = Response(202, {}, b'{"indexing_tok')

UNCLEAR: dict[str, Answer] = {
    "reset": LOST,
    "500": Response(500),
    "502": Response(502, {}, b"<html>"),
    "503": Response(503),
    "HTML": HTML,
    "torn": TORN,
    "408": Response(408),
    "1xx": Response(103),
}


class Service:
    """Audiences by name, told page by page; the first writes, and the first questions, are answered by faults."""

    def __init__(self, dialect: Dialect, *names: str, writes: list[Fault] = [], lists: list[Answer] = []) -> None:  # noqa: B006
        self.dialect = dialect
        self.names = list(names)
        self.steps: list[str] = []
        self._writes = list(writes)
        self._lists = list(lists)

    def __call__(self, effect: Effect) -> Answer:
        if isinstance(effect, Sleep):
            self.steps.append("sleep")
            return None
        is_list = (effect.method, effect.path) == (self.dialect.list.method, self.dialect.list.path)
        self.steps.append("list" if is_list else "write")
        if is_list:
            return self._lists.pop(0) if self._lists else self._page(effect)
        answer, done = self._writes.pop(0) if self._writes else (None, True)
        said = self._write(effect) if done else None
        return answer or said

    def _write(self, request: Request) -> Answer:
        method, path = request.method, request.path
        name = request.audience_name
        if (method, path) == (self.dialect.delete.method, self.dialect.delete.path.replace("{audience_name}", name)):
            if name not in self.names:
                return Response(404)
            self.names.remove(name)
        elif name in self.names:
            return Response(400)
        else:
            self.names.insert(0, name)
        return Response(202, {}, b'{"indexing_token": "t"}') if self.dialect.cursor else Response(200, {}, b"{}")

    def _page(self, request: Request) -> Answer:
        query = dict(request.query)
        start, limit = int(query.get("from", 0)), int(query["limit"])
        page: dict[str, Any] = {self.dialect.audiences: [{"name": n} for n in self.names[start : start + limit]]}
        if self.dialect.cursor:
            more = start + limit < len(self.names)
            page |= {"has_more": more} | ({"next_from": str(start + limit)} if more else {})
        return Response(200, {}, json.dumps(page).encode())


def create(service: Service, delay: Backoff = PATIENT) -> str | None:
    dialect = service.dialect
    return flow.run(conversations.create(dialect, "vip", TYPES[dialect.version], None, delay), service)


def delete(service: Service, delay: Backoff = PATIENT) -> str | None:
    return flow.run(conversations.delete(service.dialect, "vip", delay), service)


@EVERY
def test_an_audience_is_created_with_its_type_and_description(dialect: Dialect) -> None:
    fields = ("vip", TYPES[dialect.version], "Best customers")
    asked = flow.advance(conversations.create(dialect, *fields, PATIENT), None)
    assert asked == encode.create_custom_audience(dialect, *fields)


def failure_of(call: Callable[[], object]) -> BatchError | None:
    """The documented error that *call* ends in, if it does not end well."""
    try:
        call()
    except BatchError as error:
        return error
    return None


Verb = Literal["create", "delete"]
VERBS: dict[Verb, Callable[..., str | None]] = {"create": create, "delete": delete}


def before(verb: Verb) -> list[str]:
    return ["other", "vip"] if verb == "delete" else ["other"]


def is_done(verb: Verb, service: Service) -> bool:
    return ("vip" in service.names) is (verb == "create")


BOTH = pytest.mark.parametrize("verb", ["create", "delete"])


@EVERY
@BOTH
def test_a_write_that_goes_well_is_one_call(verb: Verb, dialect: Dialect) -> None:
    service = Service(dialect, *before(verb))
    assert VERBS[verb](service) == ("t" if dialect is CEP else None)
    assert service.steps == ["write"]
    assert is_done(verb, service)


@EVERY
@BOTH
@pytest.mark.parametrize("answer", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_after_an_unclear_answer_it_looks_and_finds_the_write_done(
    answer: Answer, verb: Verb, dialect: Dialect
) -> None:
    service = Service(dialect, *before(verb), writes=[(answer, True)])
    assert VERBS[verb](service) is None
    assert service.steps == ["write", "sleep", "list"]
    assert is_done(verb, service)


@EVERY
@BOTH
@pytest.mark.parametrize("answer", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_after_an_unclear_answer_it_looks_and_writes_again_what_is_not_done(
    answer: Answer, verb: Verb, dialect: Dialect
) -> None:
    service = Service(dialect, *before(verb), writes=[(answer, False)])
    VERBS[verb](service)
    assert service.steps == ["write", "sleep", "list", "write"]
    assert is_done(verb, service)


@EVERY
@BOTH
def test_a_busy_service_has_done_nothing_so_there_is_nothing_to_look_for(verb: Verb, dialect: Dialect) -> None:
    service = Service(dialect, *before(verb), writes=[(Response(429), False)])
    VERBS[verb](service)
    assert service.steps == ["write", "sleep", "write"]


@BOTH
def test_once_unclear_it_looks_after_every_further_answer(verb: Verb) -> None:
    service = Service(CEP, *before(verb), writes=[(LOST, False), (Response(429), False)])
    VERBS[verb](service)
    assert service.steps == ["write", "sleep", "list", "write", "sleep", "list", "write"]


@EVERY
@BOTH
def test_a_write_that_is_done_only_after_the_look_is_no_failure(verb: Verb, dialect: Dialect) -> None:
    """The list may be late: then the second write is refused, and another look says why."""
    late = Service(dialect, *before(verb))
    shown = late._page(encode.list_custom_audiences(dialect))
    service = Service(dialect, *before(verb), writes=[(LOST, True)], lists=[shown])
    assert VERBS[verb](service) is None
    assert service.steps == ["write", "sleep", "list", "write", "list"]
    assert is_done(verb, service)


@BOTH
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 302])
def test_a_refusal_is_told_at_once(status: int, verb: Verb) -> None:
    service = Service(CEP, *before(verb), writes=[(Response(status), False)])
    with pytest.raises(BatchError):
        VERBS[verb](service)
    assert service.steps == ["write"]


@BOTH
@pytest.mark.parametrize("done", [False, True])
def test_when_the_tries_are_used_up_it_looks_a_last_time(done: bool, verb: Verb) -> None:
    service = Service(CEP, *before(verb), writes=[(Response(500), False), (LOST, done)])
    if done:
        assert VERBS[verb](service, Backoff(lambda most: most, attempts=2)) is None
    else:
        with pytest.raises(BatchConnectionError):
            VERBS[verb](service, Backoff(lambda most: most, attempts=2))
    assert service.steps == ["write", "sleep", "list", "write", "list"]


def test_used_up_by_a_busy_service_it_does_not_look() -> None:
    service = Service(CEP, writes=[(Response(429, {"retry-after": "1"}), False)] * 3)
    with pytest.raises(BatchRateLimitError):
        create(service)
    assert service.steps == ["write", "sleep", "write", "sleep", "write"]


def test_a_look_that_fails_for_good_is_the_error() -> None:
    service = Service(CEP, writes=[(LOST, True)], lists=[Response(401)])
    with pytest.raises(BatchAuthenticationError):
        create(service)


def test_a_look_is_tried_again_like_any_question() -> None:
    service = Service(CEP, writes=[(LOST, True)], lists=[Response(503), HTML])
    assert create(service) is None
    assert service.steps == ["write", "sleep", "list", "sleep", "list", "sleep", "list"]


def test_a_busy_service_is_written_to_again_when_it_says() -> None:
    asked = conversations.create(CEP, "vip", "custom_ids", None, PATIENT)
    first = next(asked)
    assert asked.send(Response(429, {"retry-after": "9"})) == Sleep(9.0, everyone=True)
    assert asked.send(None) == first


@BOTH
@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    writes=st.lists(st.tuples(st.sampled_from([*UNCLEAR.values(), Response(429)]), st.booleans()), max_size=6),
    dialect=st.sampled_from([MEP_1_0, MEP_1_1, CEP]),
)
def test_whatever_is_unclear_success_means_done_and_nothing_is_done_twice(
    verb: Verb, writes: list[Fault], dialect: Dialect
) -> None:
    # A 429 that did the write would be a lie: it says that nothing was done.
    honest = [(answer, done and answer != Response(429)) for answer, done in writes]
    service = Service(dialect, *before(verb), writes=honest)
    error = failure_of(lambda: VERBS[verb](service))
    assert is_done(verb, service) is (error is None)
    assert error is None or error.retryable
    assert sorted(service.names) == sorted(set(service.names))
    assert "other" in service.names


# Lists.


@EVERY
@pytest.mark.parametrize(("number", "pages"), [(0, 1), (1, 1), (99, 1), (150, 2), (250, 3)])
def test_an_audience_is_looked_up_over_all_pages(number: int, pages: int, dialect: Dialect) -> None:
    service = Service(dialect, *(f"a{n}" for n in range(number)))
    assert flow.run(conversations.find(dialect, "vip", PATIENT), service) is None
    assert service.steps == ["list"] * pages


def test_a_full_last_page_of_the_older_platform_costs_one_more_question() -> None:
    service = Service(MEP_1_0, *(f"a{n}" for n in range(200)))
    assert flow.run(conversations.find(MEP_1_0, "vip", PATIENT), service) is None
    assert service.steps == ["list"] * 3


@EVERY
def test_the_search_ends_where_the_audience_is(dialect: Dialect) -> None:
    service = Service(dialect, *(f"a{n}" for n in range(250)))
    found = flow.run(conversations.find(dialect, "a120", PATIENT), service)
    assert found is not None
    assert found.name == "a120"
    assert service.steps == ["list"] * 2


@EVERY
def test_names_are_compared_to_the_letter(dialect: Dialect) -> None:
    service = Service(dialect, "VIP", "vip2")
    assert flow.run(conversations.find(dialect, "vip", PATIENT), service) is None


def endless(dialect: Dialect) -> Callable[[Effect], Answer]:
    """A list that gives its first page again and again."""
    calls = iter(range(1_000))

    def perform(effect: Effect) -> Answer:
        assert isinstance(effect, Request)
        items = [{"name": f"a{number}"} for number in range(100)]
        page = {dialect.audiences: items, "has_more": True, "next_from": str(next(calls))}
        return Response(200, {}, json.dumps(page).encode())

    return perform


@EVERY
def test_a_list_that_never_ends_is_an_error(dialect: Dialect) -> None:
    with pytest.raises(BatchProtocolError, match=r"^the list of audiences repeats a page, although it has more$"):
        flow.run(conversations.find(dialect, "vip", flow.no_retry), endless(dialect))


def test_a_cursor_that_stays_is_an_error() -> None:
    stuck = Response(200, {}, b'{"audiences": [{"name": "a"}], "has_more": true, "next_from": "x"}')
    with pytest.raises(BatchProtocolError, match="without a next_from"):
        flow.run(conversations.find(CEP, "vip", flow.no_retry), lambda _: stuck)


def test_an_audience_that_is_created_meanwhile_shifts_a_list_and_harms_nothing() -> None:
    service = Service(MEP_1_0, *(f"a{number}" for number in range(150)))

    def perform(effect: Effect) -> Answer:
        answer = service(effect)
        if len(service.steps) == 1:
            service.names.insert(0, "new")
        return answer

    found = flow.run(conversations.find(MEP_1_0, "a149", PATIENT), perform)
    assert found is not None


# Any answer.

bodies = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"{}", b"[]", b"null", b'{"indexing_token": "t"}', b'{"audiences": []}', b'{"audiences": [{}]}']),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    ["name", "audiences", "custom_audiences", "has_more", "next_from", "indexing_token", "error_code"]
                ),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)
answers = st.one_of(
    st.just(LOST),
    st.builds(
        Response,
        st.one_of(st.sampled_from([200, 201, 202, 204, 301, 400, 401, 404, 409, 429, 500, 503]), st.integers(100, 599)),
        st.dictionaries(st.just("retry-after"), st.sampled_from(["0", "9", "-1", "soon", "9" * 40]), max_size=1),
        bodies,
    ),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    said=st.lists(answers, min_size=1, max_size=8),
    verb=st.sampled_from(["create", "delete", "find", "page", "replace"]),
    dialect=st.sampled_from([MEP_1_0, MEP_1_1, CEP]),
)
def test_any_answers_end_in_a_value_or_a_documented_error(said: list[Answer], verb: str, dialect: Dialect) -> None:
    left = iter(said)

    def perform(effect: Effect) -> Answer:
        if isinstance(effect, Sleep):
            assert 0 <= effect.seconds <= PATIENT.total
            return None
        return next(left, Response(400))

    kind = TYPES[dialect.version]
    replace = encode.replace_custom_audience(dialect, "vip", kind, Chunk(1, ["a"], []))
    conversation: flow.Flow[Any] = {
        "create": conversations.create(dialect, "vip", kind, "x", PATIENT),
        "delete": conversations.delete(dialect, "vip", PATIENT),
        "find": conversations.find(dialect, "vip", PATIENT),
        "page": conversations.page(dialect, None, PATIENT),
        "replace": conversations.write(replace, PATIENT),
    }[verb]
    error = failure_of(lambda: flow.run(conversation, perform))
    assert error is None or str(error)


# What became of a wait


def outcome(pending: tuple[str, ...] = (), state: str | None = None, last_error: str | None = None) -> IndexingOutcome:
    seen = state and CustomAudience("vip", None, None, None, None, None, IndexingState.UNKNOWN, state)
    return IndexingOutcome(seen or None, pending, (), last_error)


def test_a_wait_in_which_everything_was_confirmed_gives_the_last_view() -> None:
    assert conversations.confirmed(outcome(), "vip", 60.0) is None
    view = conversations.confirmed(outcome(state="APPLIED"), "vip", 60.0)
    assert view is not None
    assert view.reported_state == "APPLIED"


@pytest.mark.parametrize(
    ("state", "last_error", "message"),
    [
        (None, None, "not polled"),
        ("ODD", None, "last state ODD"),
        ("ODD", "answered 503", "answered 503"),
    ],
)
def test_a_wait_that_ended_too_early_says_what_it_last_heard(
    state: str | None, last_error: str | None, message: str
) -> None:
    with pytest.raises(IndexingTimeoutError) as caught:
        conversations.confirmed(outcome(("t1", "t2"), state, last_error), "vip", 3600.0)
    error = caught.value
    assert str(error) == f"vip: not confirmed after 3,600 s: 2 indexing tokens (t1, t2); {message}"
    assert (error.audience_name, error.indexing_token, error.indexing_tokens) == ("vip", "t1", ("t1", "t2"))


@pytest.mark.parametrize(
    ("replaced", "own", "others"), [([], None, 0), (["t1"], "t1", 0), (["t1", "t2"], "t1", 1), (["t1", "t2"], None, 2)]
)
def test_a_later_replace_is_a_warning_but_for_the_own_one(replaced: list[str], own: str | None, others: int) -> None:
    assert conversations.replaced_warning(replaced, own) == (
        f"a later replace of the audience took over from {others} of the writes waited for" if others else ""
    )


def test_of_a_chunk_of_which_batch_accepts_nothing_nothing_is_left() -> None:
    rejection = Rejection("add_ids", 0, "no")
    search = conversations.write_bisected(
        Chunk(1, ["a"], ()),
        partial(encode.update_custom_audience, CEP, "vip", "custom_ids"),
        lambda chunk, reason: rejection,
        flow.no_retry,
    )
    assert flow.run(search, lambda effect: Response(400)) == conversations.Written((), (rejection,), None)


# How a wait goes on


class Wait:
    """A wait for tokens, whose questions are answered in turn; what it asked of others, and how long it slept."""

    def __init__(self, *answers: Answer, tokens: tuple[str, ...] = ("t1",), left: float = 1000.0) -> None:
        self.spacings: list[int] = []
        self.delays: list[tuple[int, str, float]] = []
        self.sleeps: list[Sleep] = []
        self.asked: list[str | None] = []
        self.delay: float | None = 7.0
        self._left = left
        self._answers = list(answers)
        self._tokens = tokens

    def outcome(self) -> IndexingOutcome:
        polling = Polling(self._delay, self._spacing, self._left, lambda: sum(sleep.seconds for sleep in self.sleeps))
        return flow.run(conversations.await_indexing(CEP, "vip", self._tokens, polling), self._perform)

    def _delay(self, attempt: int, error: BatchError, waited: float) -> float | None:
        self.delays.append((attempt, str(error), waited))
        return self.delay

    def _spacing(self, question: int) -> float:
        self.spacings.append(question)
        return 2.0 * question

    def _perform(self, effect: Effect) -> Answer:
        if isinstance(effect, Sleep):
            self.sleeps.append(effect)
            return None
        self.asked.append(dict(effect.query).get("indexing_token"))
        return self._answers.pop(0)


def shows(state: str) -> Response:
    return Response(200, {}, json.dumps({"name": "vip", "indexing_state": state}).encode())


BUSY_VIEW = Response(503)
PENDING = shows("IN_PROGRESS")


def test_a_wait_asks_less_and_less_often_and_begins_anew_for_each_token() -> None:
    wait = Wait(PENDING, PENDING, PENDING, shows("APPLIED"), PENDING, shows("REPLACED"), tokens=("t1", "t2"))
    seen = wait.outcome()
    assert (seen.pending, seen.replaced, seen.last_error) == ((), ("t2",), None)
    assert wait.asked == ["t1"] * 4 + ["t2"] * 2
    assert wait.spacings == [1, 2, 3, 1]
    assert wait.sleeps == [Sleep(2.0), Sleep(4.0), Sleep(6.0), Sleep(2.0)]
    assert [sleep.retries for sleep in wait.sleeps] == [None] * 4


def test_a_question_that_fails_is_asked_again_when_the_backoff_says() -> None:
    wait = Wait(PENDING, LOST, BUSY_VIEW, PENDING, BUSY_VIEW, shows("APPLIED"))
    assert wait.outcome().last_error is None
    busy = "GET /2.11/audiences/view: answered 503"
    assert wait.delays == [(1, "no answer", 0.0), (2, busy, 0.0), (1, busy, 0.0)]
    assert [sleep.seconds for sleep in wait.sleeps] == [2.0, 7.0, 7.0, 4.0, 7.0]
    assert [str(sleep.retries) for sleep in wait.sleeps] == ["None", "no answer", busy, "None", busy]
    assert [sleep.everyone for sleep in wait.sleeps] == [False, False, True, False, True]


def test_where_the_backoff_gives_up_a_wait_does_not() -> None:
    asked = Response(429, {"retry-after": "30"})
    wait = Wait(LOST, LOST, asked, shows("APPLIED"))
    wait.delay = None
    wait.outcome()
    assert [sleep.seconds for sleep in wait.sleeps] == [2.0, 4.0, 30.0]


def test_a_wait_ends_at_its_deadline_with_what_it_has_seen() -> None:
    wait = Wait(shows("APPLIED"), PENDING, LOST, PENDING, LOST, LOST, tokens=("t1", "t2", "t3"), left=15.5)
    seen = wait.outcome()
    assert [sleep.seconds for sleep in wait.sleeps] == [2.0, 7.0, 4.0, 2.5]
    assert seen.audience is not None
    assert seen.audience.reported_state == "IN_PROGRESS"
    assert (seen.pending, seen.replaced, seen.last_error) == (("t2", "t3"), (), "no answer")


def test_the_last_half_second_is_waited_for_too() -> None:
    wait = Wait(PENDING, PENDING, left=0.5)
    assert wait.outcome().last_error is None
    assert [sleep.seconds for sleep in wait.sleeps] == [0.5]


def test_an_error_that_cannot_pass_ends_a_wait() -> None:
    with pytest.raises(BatchAuthenticationError):
        Wait(Response(401)).outcome()


def test_questions_never_become_a_storm() -> None:
    wait = Wait(LOST, shows("APPLIED"))
    wait.delay = 0.0
    wait.outcome()
    assert [sleep.seconds for sleep in wait.sleeps] == [0.1]
