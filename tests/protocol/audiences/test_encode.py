from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.audiences import encode
from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.audiences.chunk import Chunk, Chunks
from airflow_provider_batch.protocol.audiences.intake import MemberIntake
from airflow_provider_batch.protocol.audiences.members import Member
from airflow_provider_batch.protocol.dialect import MEP_1_0, MEP_1_1, Dialect, cep
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.wire import Request, Response

steady = settings(max_examples=150, deadline=None, derandomize=True)

SECRET = "SECRET-ID"


def update(add_ids: list[str], remove_ids: list[str], audience_type: str = "custom_ids") -> Request:
    return encode.update_custom_audience(MEP_1_0, "vip", audience_type, Chunk(1, add_ids, remove_ids))


def body(request: Request) -> bytes:
    assert request.body is not None
    return request.body


def naive(add_ids: list[str], remove_ids: list[str], audience_type: str = "custom_ids") -> dict[str, object]:
    actions = [("add", id_) for id_ in add_ids] + [("remove", id_) for id_ in remove_ids]
    return {"type": audience_type, "ids": [{"action": action, "id": id_} for action, id_ in actions]}


def test_an_update_is_written_as_the_page_shows_it() -> None:
    request = update(["a"], ["b"])
    assert request == Request(
        "PATCH",
        "/1.0/{api_key}/custom-audience/vip",
        (),
        b'{"type":"custom_ids","ids":[{"action":"add","id":"a"},{"action":"remove","id":"b"}]}',
    )


@pytest.mark.parametrize("audience_type", ["custom_ids", "advertising_ids"])
def test_an_update_names_the_type_of_its_audience(audience_type: str) -> None:
    assert json.loads(body(update(["a"], [], audience_type)))["type"] == audience_type


@pytest.mark.parametrize(
    "id_",
    ['"', "\\", '\\"', "\n", "\0", "\x1f", "\x7f", "\u2028", "\ufeff", "é", "ゾエ", "😀", "\U0010ffff", '"},{"', "{}"],
)
def test_any_character_survives_beside_plain_ids(id_: str) -> None:
    assert json.loads(body(update(["a", id_], [id_, "b"]))) == naive(["a", id_], [id_, "b"])


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
awkward = st.text(alphabet='"\\\n\0\x1f\x7fa\u2028é😀{},:', max_size=8)
ids = st.lists(st.one_of(text, awkward), max_size=6)


@steady
@given(ids, ids)
@example([], [])
def test_a_body_says_what_the_naive_structure_says(add_ids: list[str], remove_ids: list[str]) -> None:
    assert json.loads(body(update(add_ids, remove_ids)).decode("utf-8")) == naive(add_ids, remove_ids)


@steady
@given(ids, ids)
def test_a_body_is_what_the_json_module_writes_compactly(add_ids: list[str], remove_ids: list[str]) -> None:
    written = json.dumps(naive(add_ids, remove_ids), ensure_ascii=False, separators=(",", ":")).encode()
    assert body(update(add_ids, remove_ids)) == written


plain = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=8), max_size=6
)


@steady
@given(plain)
def test_plain_ids_are_written_alike_beside_an_id_that_needs_escaping(add_ids: list[str]) -> None:
    together = body(update([*add_ids, '"'], []))
    alone = body(update([*add_ids, "#"], []))
    assert together == alone.replace(b'"#"}]}', b'"\\""}]}')


@steady
@given(ids, ids)
def test_a_request_knows_the_ids_it_carries(add_ids: list[str], remove_ids: list[str]) -> None:
    assert list(update(add_ids, remove_ids).private()) == add_ids + remove_ids


def test_ten_thousand_ids_fit_one_body() -> None:
    many = [f"id-{number}" for number in range(10_000)]
    assert json.loads(body(update(many, []))) == naive(many, [])


def test_a_view_asks_for_the_write_behind_a_token() -> None:
    assert encode.view_custom_audience(MEP_1_0, "vip", "t0") == Request(
        "GET", "/1.0/{api_key}/custom-audience/vip", (("indexing_token", "t0"),)
    )


def test_a_view_without_a_token_asks_for_the_last_write() -> None:
    assert encode.view_custom_audience(MEP_1_0, "vip") == Request("GET", "/1.0/{api_key}/custom-audience/vip")


def test_a_list_is_asked_for_from_its_beginning() -> None:
    assert encode.list_custom_audiences(MEP_1_0, limit=1) == Request(
        "GET", "/1.0/{api_key}/custom-audience", (("from", "0"), ("limit", "1"))
    )


def test_a_request_names_its_route_with_the_key_left_out() -> None:
    assert update(["a"], []).route == "PATCH /1.0/{api_key}/custom-audience/vip"


@pytest.mark.parametrize(
    "request_",
    [
        update(["a"], ["b"]),
        encode.view_custom_audience(MEP_1_0, "vip", "t0"),
        encode.list_custom_audiences(MEP_1_0, limit=1),
    ],
    ids=lambda request: request.route,
)
def test_a_request_is_for_any_host(request_: Request) -> None:
    assert request_.path.startswith("/1.0/{api_key}/")


def test_a_request_does_not_show_its_ids() -> None:
    assert repr(update([SECRET], [SECRET])) == (
        "Request(method='PATCH', path='/1.0/{api_key}/custom-audience/vip', query=())"
    )


def test_a_response_does_not_show_its_body() -> None:
    assert SECRET not in repr(Response(400, {}, SECRET.encode()))


@pytest.mark.parametrize("name", ["a", "VIP-customers_2024", "x" * 255, "-", "0"])
def test_an_allowed_name_of_an_audience_is_taken(name: str) -> None:
    assert encode.check_audience_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "vip customers",
        "vip\n",
        "vip/",
        "../vip",
        "vip?x=1",
        "é",
        "٣",
        "x" * 256,
        "{audience_name}",
        None,
        5,
        b"vip",
    ],
)
def test_any_other_name_of_an_audience_is_refused(name: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^audience_name: .* Use 1 to 255 letters"):
        encode.check_audience_name(name)


def test_a_template_without_a_value_is_named() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^audience_name: 'None' is what a template without a value"):
        encode.check_audience_name("None")
    assert encode.check_audience_name("none") == "none"


@pytest.mark.parametrize(("name", "shown"), [("x" * 100_000, f"'{'x' * 80}'"), ("a b", "'a b'"), (b"vip", "bytes")])
def test_what_is_no_name_is_shown_but_for_its_end(name: object, shown: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        encode.check_audience_name(name)
    assert str(caught.value).startswith(f"audience_name: {shown} is not a valid audience name. Use 1 to 255 letters")


@pytest.mark.parametrize(
    "build",
    [
        lambda: encode.update_custom_audience(MEP_1_0, "a/b", "custom_ids", Chunk(1, ["a"], [])),
        lambda: encode.view_custom_audience(MEP_1_0, "a/b"),
    ],
    ids=["update", "view"],
)
def test_no_request_is_made_for_a_forbidden_name(build: object) -> None:
    assert callable(build)
    with pytest.raises(InvalidArgumentError, match="audience_name"):
        build()


@pytest.mark.parametrize("audience_type", ["custom_ids", "advertising_ids"])
def test_a_type_that_the_version_knows_is_taken(audience_type: str) -> None:
    assert encode.check_audience_type(MEP_1_0, audience_type) == audience_type


@pytest.mark.parametrize(
    "audience_type", ["install_ids", "CUSTOM_ID", "", "custom_ids ", None, ["custom_ids"], "x" * 10_000]
)
def test_any_other_type_is_refused(audience_type: object) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        encode.check_audience_type(MEP_1_0, audience_type)
    assert str(caught.value).endswith("is unknown to API 1.0. Use custom_ids or advertising_ids.")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("size", [1, 10_000])
def test_a_size_that_one_call_can_hold_is_taken(size: int) -> None:
    assert encode.check_chunk_size(MEP_1_0, size) == size


@pytest.mark.parametrize("size", [0, -1, 10_001, True, 1.0, "100", None, 10**1000])
def test_any_other_size_is_refused(size: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^chunk_size: .* is not an integer from 1 to 10,000$"):
        encode.check_chunk_size(MEP_1_0, size)


@pytest.mark.parametrize(
    ("name", "audience_type", "size", "argument"),
    [
        ("a/b", "custom_ids", 1, "audience_name"),
        ("vip", "install_ids", 1, "audience_type"),
        ("vip", "custom_ids", 0, "chunk_size"),
    ],
)
def test_an_update_is_refused_for_each_of_its_arguments(
    name: str, audience_type: str, size: int, argument: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{argument}: "):
        encode.check_write(MEP_1_0, name, audience_type, size)


def test_an_update_within_the_rules_may_be_asked_for() -> None:
    encode.check_write(MEP_1_0, "vip", "custom_ids", 10_000)


# The other verbs, and the other versions.

CEP = cep().dialects[0]
EVERY = pytest.mark.parametrize("dialect", [MEP_1_0, MEP_1_1, CEP], ids=["1.0", "1.1", "2.x"])
TYPES = {"1.0": "custom_ids", "1.1": "install_ids", "2.11": "custom_ids"}


def annotated(adds: list[str], removes: list[str] = []) -> Chunk:  # noqa: B006 - it is read only
    blocks = tuple(
        Block(ids, argument, range(len(ids)), annotated=any(isinstance(id_, AnnotatedId) for id_ in ids))
        for ids, argument in ((adds, "add_ids"), (removes, "remove_ids"))
    )
    return Chunk(1, adds, removes, blocks)


def naive_member(id_: str, action: str | None) -> dict[str, object]:
    beside = json.loads(f"{{{id_.extras}}}") if isinstance(id_, AnnotatedId) else {}
    return {**({"action": action} if action else {}), "id": str(id_), **beside}


@EVERY
def test_an_update_says_the_name_and_the_type_where_its_version_wants_them(dialect: Dialect) -> None:
    request = encode.update_custom_audience(dialect, "vip", TYPES[dialect.version], annotated(["a"], ["b"]))
    fields = json.loads(body(request))
    del fields["ids"]
    assert fields == {"1.0": {"type": "custom_ids"}, "1.1": {}, "2.11": {"name": "vip"}}[dialect.version]
    assert ("vip" in request.path) is (dialect is not CEP)


def test_a_version_may_want_both_the_name_and_the_type() -> None:
    request = encode.update_custom_audience(replace(CEP, typed_writes=True), "vip", "custom_ids", annotated(["a"]))
    assert json.loads(body(request)) == {"name": "vip", "type": "custom_ids", "ids": [{"action": "add", "id": "a"}]}


@EVERY
def test_a_replace_has_no_action(dialect: Dialect) -> None:
    request = encode.replace_custom_audience(dialect, "vip", TYPES[dialect.version], annotated(["a", 'b"']))
    assert json.loads(body(request))["ids"] == [{"id": "a"}, {"id": 'b"'}]
    assert list(request.private()) == ["a", 'b"']


def test_tags_are_private_without_attributes_too() -> None:
    members = MemberIntake([Member("a", tags=["Paris"])], "ids", name="vip", rules=MEP_1_1.members, block_size=3)
    (block,) = members.blocks()
    request = encode.update_custom_audience(MEP_1_1, "vip", "install_ids", Chunk(1, block, ()))
    assert {"a", "Paris"} <= set(request.private())


@EVERY
def test_a_replace_by_nothing_has_an_empty_list(dialect: Dialect) -> None:
    request = encode.replace_custom_audience(dialect, "vip", TYPES[dialect.version], Chunk(1, [], []))
    assert json.loads(body(request))["ids"] == []


plain_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
values = st.one_of(plain_text, st.integers(), st.floats(allow_nan=False, allow_infinity=False))
member_ids = st.lists(
    st.one_of(
        plain_text,
        st.builds(
            lambda id_, known: AnnotatedId(id_, json.dumps({"attributes": known}, ensure_ascii=False)[1:-1]),
            plain_text,
            st.dictionaries(plain_text, values, min_size=1, max_size=3),
        ),
    ),
    max_size=5,
)


@steady
@given(member_ids, member_ids, st.sampled_from([MEP_1_0, MEP_1_1, CEP]))
def test_members_are_written_as_the_naive_structure(adds: list[str], removes: list[str], dialect: Dialect) -> None:
    update = encode.update_custom_audience(dialect, "vip", TYPES[dialect.version], annotated(adds, removes))
    assert json.loads(body(update).decode())["ids"] == [
        *(naive_member(id_, "add") for id_ in adds),
        *(naive_member(id_, "remove") for id_ in removes),
    ]
    replace = encode.replace_custom_audience(dialect, "vip", TYPES[dialect.version], annotated(adds))
    assert json.loads(body(replace).decode())["ids"] == [naive_member(id_, None) for id_ in adds]


awkward = st.text('ab"\\é ', min_size=1, max_size=4).filter(lambda text: text == text.strip())
mixed = st.lists(
    st.one_of(awkward, st.integers(0, 99), st.builds(lambda id_: Member(id_, {"n": 1}), awkward)), max_size=9
)


@steady
@given(mixed, mixed, st.integers(1, 5), st.sampled_from([list, iter]))
def test_what_the_intake_knows_of_its_ids_changes_nothing_in_the_body(
    adds: list[object], removes: list[object], size: int, make: Callable[[list[object]], Iterable[object]]
) -> None:
    intake = partial(MemberIntake, name="vip", rules=MEP_1_1.members, block_size=size)
    ids_to_remove = [value for value in removes if not isinstance(value, Member)]
    for chunk in Chunks(intake(make(adds), "add_ids"), intake(make(ids_to_remove), "remove_ids"), size=size):
        update = encode.update_custom_audience(MEP_1_1, "vip", "install_ids", chunk)
        assert json.loads(body(update).decode())["ids"] == [
            *(naive_member(id_, "add") for id_ in chunk.add_ids),
            *(naive_member(id_, "remove") for id_ in chunk.remove_ids),
        ]


@EVERY
@pytest.mark.parametrize("description", [None, "", 'Zoë\'s "best"\n'])
def test_a_description_is_sent_where_there_is_one_in_the_word_of_its_version(
    description: str | None, dialect: Dialect
) -> None:
    fields = json.loads(body(encode.create_custom_audience(dialect, "vip", TYPES[dialect.version], description)))
    word = "display_name" if dialect is CEP else "description"
    assert fields.pop("name", "vip") == "vip"
    assert fields == {"type": TYPES[dialect.version]} | ({} if description is None else {word: description})


@EVERY
def test_the_view_of_a_token_serves_all_who_wait_for_it_but_that_of_the_last_write_does_not(dialect: Dialect) -> None:
    assert encode.view_custom_audience(dialect, "vip", "t").shareable
    assert not encode.view_custom_audience(dialect, "vip").shareable


@EVERY
def test_a_delete_names_the_audience(dialect: Dialect) -> None:
    request = encode.delete_custom_audience(dialect, "vip")
    assert (request.body and json.loads(request.body)) == ({"name": "vip"} if dialect is CEP else None)
    assert request.audience_name == "vip"


@pytest.mark.parametrize("version", ["2.1", "2.11", "2.13"])
def test_the_newer_platform_is_asked_in_any_version(version: str) -> None:
    (dialect,) = cep(version).dialects
    for request in (
        encode.create_custom_audience(dialect, "vip", "custom_ids"),
        encode.delete_custom_audience(dialect, "vip"),
        encode.view_custom_audience(dialect, "vip", "t"),
        encode.list_custom_audiences(dialect),
    ):
        assert request.path.startswith(f"/{version}/audiences/")


@EVERY
@pytest.mark.parametrize("name", ["n" * 256, "", "a b", "a/b", "é"])
def test_no_version_takes_a_forbidden_name(name: str, dialect: Dialect) -> None:
    kind = TYPES[dialect.version]
    with pytest.raises(InvalidArgumentError, match="audience_name"):
        encode.create_custom_audience(dialect, name, kind)
    with pytest.raises(InvalidArgumentError, match="audience_name"):
        encode.replace_custom_audience(dialect, name, kind, Chunk(1, ["a"], []))
    with pytest.raises(InvalidArgumentError, match="audience_name"):
        encode.delete_custom_audience(dialect, name)
    with pytest.raises(InvalidArgumentError, match="audience_name"):
        encode.view_custom_audience(dialect, name)


def test_what_stands_beside_an_id_is_not_shown() -> None:
    chunk = annotated([AnnotatedId(SECRET, f'"tags":["{SECRET}"]')])
    assert SECRET not in f"{chunk!r} {encode.update_custom_audience(MEP_1_1, 'vip', 'install_ids', chunk)!r}"
