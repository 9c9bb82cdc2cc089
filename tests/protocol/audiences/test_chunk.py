from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import FrozenInstanceError, replace
from functools import partial
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import InvalidMemberError
from airflow_provider_batch.protocol.arguments import OnInvalidId
from airflow_provider_batch.protocol.audiences import encode
from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.audiences.chunk import CheckedChunks, Chunk, Chunks
from airflow_provider_batch.protocol.audiences.intake import MemberIntake
from airflow_provider_batch.protocol.audiences.members import Member
from airflow_provider_batch.protocol.dialect import MEP_1_0, MEP_1_1
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.rows import Rejection, Rows
from airflow_provider_batch.protocol.writes import Parcel

from .metered import Metered

steady = settings(max_examples=150, deadline=None, derandomize=True)

Make = Callable[[Iterable[object]], Iterable[object]]


def chunks(
    add_ids: object = None, remove_ids: object = None, *, size: int = 3, on_invalid_id: OnInvalidId = "fail"
) -> Chunks:
    intake = partial(MemberIntake, name="vip", rules=MEP_1_0.members, block_size=size, on_invalid_id=on_invalid_id)
    made = Chunks(intake(add_ids, "add_ids"), intake(remove_ids, "remove_ids"), size=size)
    made.check()
    return made


def shown(made: Iterable[Chunk]) -> list[tuple[str, str]]:
    return [("".join(chunk.add_ids), "".join(chunk.remove_ids)) for chunk in made]


@pytest.mark.parametrize("make", [list, iter])
@pytest.mark.parametrize(
    ("adds", "removes", "expected"),
    [
        ("", "", []),
        ("a", "", [("a", "")]),
        ("", "a", [("", "a")]),
        ("abc", "", [("abc", "")]),
        ("abcd", "", [("abc", ""), ("d", "")]),
        ("", "abcd", [("", "abc"), ("", "d")]),
        ("ab", "xy", [("ab", "x"), ("", "y")]),
        ("abc", "xyz", [("abc", ""), ("", "xyz")]),
        ("abcd", "x", [("abc", ""), ("d", "x")]),
        ("a", "wxyz", [("a", "wx"), ("", "yz")]),
        ("abcdefg", "uvwxyz", [("abc", ""), ("def", ""), ("g", "uv"), ("", "wxy"), ("", "z")]),
        ("abc", "abc", [("", "abc")]),
        ("abcd", "b", [("acd", ""), ("", "b")]),
    ],
)
def test_adds_go_before_removes_in_full_chunks(
    make: Make, adds: str, removes: str, expected: list[tuple[str, str]]
) -> None:
    assert shown(chunks(make(list(adds)), make(list(removes)))) == expected


def test_the_repetitions_of_a_collection_are_known_before_its_chunks_are_made() -> None:
    assert chunks(["a", "b", "a"]).duplicates == 1


def test_chunks_are_numbered_from_one() -> None:
    assert [chunk.number for chunk in chunks(list("abcdefg"), list("xy"))] == [1, 2, 3]


def test_a_chunk_is_as_long_as_its_ids() -> None:
    assert [len(chunk) for chunk in chunks(list("ab"), list("xy"))] == [3, 1]


@pytest.mark.parametrize("make_adds", [list, iter])
@pytest.mark.parametrize("make_removes", [list, iter])
def test_an_id_to_add_and_to_remove_is_removed(make_adds: Make, make_removes: Make) -> None:
    assert shown(chunks(make_adds(["a", "b"]), make_removes(["b"]))) == [("a", "b")]


@pytest.mark.parametrize("make_adds", [list, iter])
@pytest.mark.parametrize("make_removes", [list, iter])
def test_a_removal_wins_over_an_add_many_chunks_earlier(make_adds: Make, make_removes: Make) -> None:
    made = chunks(make_adds(list("abcdefghi")), make_removes(list("tuvwxyza")))
    assert "a" not in [id_ for chunk in made for id_ in chunk.add_ids]


def test_an_id_added_again_is_counted_as_a_duplicate() -> None:
    made = chunks(["a", "b", "a"])
    assert (shown(made), made.duplicates) == ([("ab", "")], 1)


def test_an_id_added_and_removed_is_counted_as_a_duplicate() -> None:
    made = chunks(["a", "b"], ["a", "a"])
    assert (shown(made), made.duplicates) == ([("b", "a")], 2)


def test_an_id_repeated_in_a_list_goes_once_in_the_whole_run() -> None:
    assert shown(chunks(list("abcdefga"))) == [("abc", ""), ("def", ""), ("g", "")]


def test_an_id_repeated_far_apart_in_a_stream_may_go_again() -> None:
    assert shown(chunks(iter("abcdefga"))) == [("abc", ""), ("def", ""), ("ga", "")]


def test_an_id_repeated_within_a_chunk_of_a_stream_goes_once() -> None:
    assert shown(chunks(iter("aabbc"))) == [("abc", "")]


def test_a_stream_of_one_repeated_id_is_one_chunk() -> None:
    made = chunks(iter("a" * 1000))
    assert (shown(made), made.duplicates) == ([("a", "")], 999)


def test_the_first_chunk_of_a_stream_needs_no_more_than_its_own_ids() -> None:
    source = Metered(map(str, count()))
    next(iter(chunks(source, size=10)))
    assert source.read == 10


def test_a_stream_is_read_as_far_as_its_chunks_have_come() -> None:
    source = Metered(map(str, count()))
    flowing = iter(chunks(source, size=10))
    for _ in range(5):
        next(flowing)
    assert source.read == 50


def test_a_stream_of_removals_alone_is_not_held() -> None:
    source = Metered(map(str, count()))
    next(iter(chunks([], source, size=10)))
    assert source.read == 10


def test_a_stream_of_adds_beside_removals_is_not_held() -> None:
    source = Metered(map(str, count()))
    next(iter(chunks(source, ["x"], size=10)))
    assert source.read == 10


BAD = [*map(str, range(100)), None]


@pytest.mark.parametrize(("adds", "removes", "argument"), [(BAD, [], "add_ids"), ([], BAD, "remove_ids")])
def test_a_bad_id_in_a_list_is_found_before_the_first_chunk(adds: object, removes: object, argument: str) -> None:
    with pytest.raises(InvalidMemberError) as caught:
        chunks(adds, removes)
    assert (caught.value.argument, caught.value.position) == (argument, 100)


def test_a_bad_id_in_a_list_to_remove_is_found_before_a_stream_to_add_is_read() -> None:
    source = Metered(["a"])
    with pytest.raises(InvalidMemberError):
        chunks(source, [None])
    assert source.read == 0


def test_a_bad_id_in_a_stream_stops_it_where_it_stands() -> None:
    flowing = iter(chunks(iter(["a", "b", "c", "d", None])))
    assert next(flowing).add_ids == ["a", "b", "c"]
    with pytest.raises(InvalidMemberError) as caught:
        next(flowing)
    assert caught.value.position == 4


def test_skipped_values_of_both_arguments_are_counted() -> None:
    made = chunks(["a", None], iter([None, None, "b"]), on_invalid_id="skip")
    assert (shown(made), made.rejected) == ([("a", "b")], 3)


def test_skipped_values_of_both_arguments_are_named() -> None:
    made = chunks(["a", None], iter([None, "b"]), on_invalid_id="skip")
    list(made)
    assert [(r.argument, r.position) for r in made.rejections] == [("add_ids", 1), ("remove_ids", 0)]


def test_a_total_is_known_for_lists() -> None:
    assert chunks(["a", "b", "a"], ["x"]).total == 3


@pytest.mark.parametrize(("adds", "removes"), [(iter("a"), ["x"]), (["a"], iter("x"))])
def test_a_total_is_unknown_as_soon_as_one_argument_is_a_stream(adds: object, removes: object) -> None:
    assert chunks(adds, removes).total is None


def test_a_chunk_does_not_show_its_ids() -> None:
    assert repr(Chunk(1, ["SECRET-ID"], ["SECRET-ID"])) == "Chunk(number=1)"


def test_a_chunk_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Chunk(1, [], []).number = 2  # type: ignore[misc]


# The same, for any ids: few enough of them to meet again, in lists and in streams.
an_id = st.sampled_from("abcdefgh")
ids = st.lists(an_id, max_size=25)
values = st.lists(st.one_of(an_id, st.sampled_from([None, "", 7, ("a",), 1.5, "7"])), max_size=25)
sizes = st.integers(1, 7)
streams = st.booleans()


def naive(adds: list[str], removes: list[str], size: int) -> list[list[tuple[str, str]]]:
    """Each id once, removal wins, adds first, cut into slices."""
    actions = [("add", id_) for id_ in dict.fromkeys(adds) if id_ not in removes]
    actions += [("remove", id_) for id_ in dict.fromkeys(removes)]
    return [actions[start : start + size] for start in range(0, len(actions), size)]


def actions(chunk: Chunk) -> list[tuple[str, str]]:
    return [("add", id_) for id_ in chunk.add_ids] + [("remove", id_) for id_ in chunk.remove_ids]


@steady
@given(ids, ids, sizes)
def test_lists_are_cut_as_a_naive_reading_of_the_rules_cuts_them(
    adds: list[str], removes: list[str], size: int
) -> None:
    assert list(map(actions, chunks(adds, removes, size=size))) == naive(adds, removes, size)


@steady
@given(ids, ids, sizes, streams, streams)
def test_streams_send_the_same_actions_in_the_order_of_their_first_occurrence(
    adds: list[str], removes: list[str], size: int, stream_adds: bool, stream_removes: bool
) -> None:
    made = chunks(iter(adds) if stream_adds else adds, iter(removes) if stream_removes else removes, size=size)
    sent = list(dict.fromkeys(action for chunk in made for action in actions(chunk)))
    wanted = [action for slice_ in naive(adds, removes, size) for action in slice_]
    for side in ("add", "remove"):
        assert [action for action in sent if action[0] == side] == [action for action in wanted if action[0] == side]


@steady
@given(ids, ids, sizes, streams, streams)
def test_the_side_that_is_in_memory_anyhow_is_the_one_that_is_held(
    adds: list[str], removes: list[str], size: int, stream_adds: bool, stream_removes: bool
) -> None:
    made = list(chunks(iter(adds) if stream_adds else adds, iter(removes) if stream_removes else removes, size=size))
    removes_first = stream_removes and not stream_adds
    first = [bool(chunk.remove_ids if removes_first else chunk.add_ids) for chunk in made]
    assert first == sorted(first, reverse=True)


@steady
@given(ids, ids, sizes, streams, streams)
def test_an_id_is_found_where_it_was_given(
    adds: list[str], removes: list[str], size: int, stream_adds: bool, stream_removes: bool
) -> None:
    made = chunks(iter(adds) if stream_adds else adds, iter(removes) if stream_removes else removes, size=size)
    for chunk in made:
        for id_ in chunk.add_ids:
            assert adds[Chunk(1, [id_], [], chunk.origins).rejection("no").position] == id_
        for id_ in chunk.remove_ids:
            assert removes[Chunk(1, [], [id_], chunk.origins).rejection("no").position] == id_


def test_removals_that_stream_are_not_held() -> None:
    read = []

    def stream() -> Iterator[str]:
        for number in range(100):
            read.append(number)
            yield f"r{number}"

    made = iter(chunks(["a", "r3"], stream(), size=2))
    next(made)
    assert len(read) <= 4


@steady
@given(ids, ids, sizes, streams, streams)
def test_every_chunk_but_the_last_is_full(
    adds: list[str], removes: list[str], size: int, stream_adds: bool, stream_removes: bool
) -> None:
    made = chunks(iter(adds) if stream_adds else adds, iter(removes) if stream_removes else removes, size=size)
    lengths = list(map(len, made))
    assert all(length == size for length in lengths[:-1])
    assert all(1 <= length <= size for length in lengths[-1:])


@steady
@given(ids, ids, sizes, streams, streams)
def test_no_chunk_holds_an_id_twice(
    adds: list[str], removes: list[str], size: int, stream_adds: bool, stream_removes: bool
) -> None:
    made = chunks(iter(adds) if stream_adds else adds, iter(removes) if stream_removes else removes, size=size)
    assert all(len({id_ for _, id_ in actions(chunk)}) == len(chunk) for chunk in made)


@steady
@given(values, values, sizes, streams, streams)
def test_of_the_values_given_each_is_sent_a_duplicate_or_rejected(
    adds: list[object], removes: list[object], size: int, stream_adds: bool, stream_removes: bool
) -> None:
    given_adds = iter(adds) if stream_adds else adds
    given_removes = iter(removes) if stream_removes else removes
    made = chunks(given_adds, given_removes, size=size, on_invalid_id="skip")
    sent = sum(map(len, made))
    assert sent + made.duplicates + made.rejected == len(adds) + len(removes)


# Members.


def told(ids: Iterable[str]) -> list[tuple[str, str]]:
    """Each id with what stands beside it."""
    return [(str(id_), id_.extras if isinstance(id_, AnnotatedId) else "") for id_ in ids]


def beside(value: object) -> str:
    if not isinstance(value, Member) or not value.attributes:
        return ""
    return f'"attributes":{{"n":{value.attributes["n"]}}}'


def id_of(value: object) -> str:
    return str(value.id if isinstance(value, Member) else value)


def members_chunks(adds: object, removes: object, size: int) -> Chunks:
    intake = partial(MemberIntake, name="vip", rules=MEP_1_1.members, block_size=size)
    made = Chunks(intake(adds, "add_ids"), intake(removes, "remove_ids"), size=size)
    made.check()
    return made


letters = st.sampled_from("abcdefgh")
members = st.lists(
    st.one_of(letters, letters.map(Member), st.builds(Member, letters, st.builds(dict, n=st.integers(0, 99)))),
    max_size=12,
)


@steady
@given(
    members,
    st.lists(letters, max_size=12),
    st.integers(1, 5),
    st.sampled_from([list, iter]),
    st.sampled_from([list, iter]),
)
def test_what_stands_beside_an_id_survives_every_way(
    adds: list[object], removes: list[str], size: int, make_adds: Make, make_removes: Make
) -> None:
    sent = list(members_chunks(make_adds(adds), make_removes(removes), size))
    assert {id_ for chunk in sent for id_ in chunk.remove_ids} == set(removes)
    ids = [pair for chunk in sent for pair in told(chunk.add_ids)]
    first: dict[str, str] = {}
    for value in adds:
        first.setdefault(id_of(value), beside(value))
    wanted = {id_: known for id_, known in first.items() if id_ not in removes}
    assert set(ids) <= {(id_of(value), beside(value)) for value in adds}
    # A stream gives an id once a chunk; the first time it is the first.
    assert dict(reversed(ids)) == wanted
    if make_adds is list:
        assert len(ids) == len(wanted)
    for chunk in sent:
        assert chunk.annotated or all(known == "" for _, known in told([*chunk.add_ids, *chunk.remove_ids]))


@steady
@given(members, st.lists(letters, max_size=12), st.integers(2, 6))
def test_halves_of_a_chunk_keep_what_stands_beside_their_ids(adds: list[object], removes: list[str], size: int) -> None:
    for chunk in members_chunks(adds, removes, size):
        halves = chunk.halves()
        assert [pair for half in halves for pair in told(half.add_ids)] == told(chunk.add_ids)
        assert [pair for half in halves for pair in told(half.remove_ids)] == told(chunk.remove_ids)
        assert all(half.annotated is chunk.annotated for half in halves)
        whole = chunk.only(halves)
        assert (told(whole.add_ids), told(whole.remove_ids)) == (told(chunk.add_ids), told(chunk.remove_ids))
        assert whole.annotated is chunk.annotated


def test_plain_ids_are_never_called_annotated() -> None:
    given = [str(number) for number in range(9)]
    assert not any(chunk.annotated for chunk in members_chunks(given, iter("xyz"), 4))


def test_a_chunk_is_plain_only_if_all_of_its_blocks_are() -> None:
    plain, other = Block("a", "add_ids", [0], plain=True), Block('"', "add_ids", [1])
    assert Chunk(1, ["a"], [], (plain, plain)).plain
    assert not Chunk(1, ["a", '"'], [], (plain, other)).plain
    assert not Chunk(1, ['"'], []).plain


def test_nothing_may_be_one_empty_chunk() -> None:
    intake = partial(MemberIntake, name="vip", rules=MEP_1_0.members, block_size=3)
    for allow_empty, numbers in ((False, []), (True, [1])):
        made = Chunks(intake([], "ids"), intake((), "remove_ids"), size=3, allow_empty=allow_empty)
        assert [chunk.number for chunk in made] == numbers
        assert all(len(chunk) == 0 for chunk in made)


def test_something_has_no_empty_chunk_at_its_end() -> None:
    intake = partial(MemberIntake, name="vip", rules=MEP_1_0.members, block_size=3)
    made = Chunks(intake(["a", "b", "c"], "ids"), intake((), "remove_ids"), size=3, allow_empty=True)
    assert [len(chunk) for chunk in made] == [3]


@pytest.mark.parametrize(
    ("adds", "removes", "expected"),
    [
        ("", "", []),
        ("abcdef", "", [("abc", ""), ("def", "")]),
        ("abcde", "vwxyz", [("abc", ""), ("de", "v"), ("", "wxy"), ("", "z")]),
        ("abc", "xy", [("abc", ""), ("", "xy")]),
        ("", "wxyz", [("", "wxy"), ("", "z")]),
    ],
)
def test_checked_ids_are_cut_as_they_are(adds: str, removes: str, expected: list[tuple[str, str]]) -> None:
    made = CheckedChunks(list(adds), list(removes), size=3)
    assert shown(made) == shown(made) == expected
    assert [chunk.number for chunk in made] == list(range(1, len(expected) + 1))
    assert (made.total, made.duplicates, made.rejected) == (len(adds) + len(removes), 0, 0)
    found = [chunk.halves() for chunk in CheckedChunks(list(adds), list(removes), size=1)]
    where = [chunk.rejection("refused").where for _, chunk in found]
    assert where == [f"add_ids[{at}]" for at in range(len(adds))] + [f"remove_ids[{at}]" for at in range(len(removes))]


def test_of_many_checked_members_each_keeps_what_is_its_own() -> None:
    ids = [AnnotatedId(str(n), f'"tags":["{n}"]') if n % 3 else str(n) for n in range(2_500)]
    (chunk,) = CheckedChunks(ids, ["x"], size=10_000)
    assert told(chunk.add_ids) == told(ids)
    assert (chunk.remove_ids, list(chunk.origins[0].positions)) == (["x"], list(range(2_500)))


def test_no_checked_ids_may_be_one_empty_chunk() -> None:
    assert shown(CheckedChunks([], [], size=3, allow_empty=True)) == [("", "")]
    assert shown(CheckedChunks(list("abc"), [], size=3, allow_empty=True)) == [("abc", "")]


def test_checked_ids_keep_what_stands_beside_them() -> None:
    first, second = CheckedChunks(["a", AnnotatedId("b", '"tags":["x"]'), "c"], ["d"], size=2)
    assert (first.annotated, second.annotated) == (True, False)
    assert getattr(first.add_ids[1], "extras", None) == '"tags":["x"]'


def held_by(made: Iterable[Chunk]) -> int:
    """Push, and return the most bytes that were in use at once."""
    tracemalloc.start()
    try:
        for _ in made:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def repeated(values: int, ids: int) -> Iterator[str]:
    """As many values of as many ids, no value the same object as another."""
    return (f"customer-{number % ids}" for number in range(values))


@pytest.mark.parametrize("side", ["add_ids", "remove_ids", "both"])
def test_a_stream_of_repeated_ids_is_not_held(side: str) -> None:
    def memory(values: int) -> int:
        adds = repeated(values, 900) if side != "remove_ids" else None
        removes = repeated(values, 950) if side != "add_ids" else None
        return held_by(chunks(adds, removes, size=1_000))

    assert memory(100_000) < 2 * memory(10_000)


@pytest.mark.parametrize("share", [1, 200])
def test_blocks_with_few_new_ids_are_not_held(share: int) -> None:
    """A thousand blocks, each with some ids that no other has; the rest is repeated."""
    sizes: list[int] = []

    def blocks() -> Iterator[str]:
        for number in range(1_000 // share):
            yield from (f"new-{number}-{each}" for each in range(share))
            yield from (f"old-{each}" for each in range(1_000 - share))

    for chunk in chunks(blocks(), size=10_000):
        sizes.append(sum(map(len, chunk.origins)))
        assert set(chunk.add_ids) <= {id_ for block in chunk.origins for id_ in block}
    assert sizes == [1_000 + 1_000 - share]


def test_an_id_of_a_block_with_few_new_ids_keeps_its_place() -> None:
    named: list[int] = []

    class Source:
        def __iter__(self) -> Iterator[object]:
            return iter(())

        def blocks(self, size: int) -> Iterator[Rows]:
            def place(number: int) -> str:
                named.append(number)
                return f"line {number + 1}"

            yield Rows(list("a" * 20), place)
            yield Rows(list("a" * 19 + "b"), place)

    (chunk,) = chunks(Source(), size=20)
    (origin,) = [block for block in chunk.origins if "b" in block]
    assert (origin, origin.positions) == (["b"], [39])
    assert named == [0, 19]
    assert replace(chunk, add_ids=["b"]).rejection("no").where == "add_ids[39] (line 20)"


def test_what_is_inside_prints_no_ids() -> None:
    (chunk,) = chunks(["SECRET", Member("SECRET-2")], ["SECRET-3"])
    shown = [
        chunk,
        list(chunk.origins),
        Parcel(chunk, encode.update_custom_audience(MEP_1_0, "vip", "custom_ids", chunk), "f"),
    ]
    assert "SECRET" not in repr(shown)


def test_the_halves_of_a_chunk_are_cut_across_both_actions() -> None:
    def cut(adds: str, removes: str) -> list[tuple[str, str]]:
        return [("".join(half.add_ids), "".join(half.remove_ids)) for half in Chunk(1, adds, removes).halves()]

    assert cut("abcdef", "") == [("abc", ""), ("def", "")]
    assert cut("abcde", "x") == [("abc", ""), ("de", "x")]
    assert cut("a", "vwxyz") == [("a", "vw"), ("", "xyz")]
    assert cut("", "xyz") == [("", "x"), ("", "yz")]


def test_a_chunk_of_some_of_its_parts_has_no_other_ids() -> None:
    whole = Chunk(7, ["a", "b", "c"], ["x", "y", "z"])
    some = whole.only([Chunk(7, ["a"], ["x"]), Chunk(7, ["c"], ["z"])])
    assert (some.number, some.add_ids, some.remove_ids) == (7, ["a", "c"], ["x", "z"])


def test_a_whole_block_is_read_again_when_it_is_needed_and_only_then() -> None:
    block = Block(["a", "b", "c"], "add_ids", [4, 5, 7], str, plain=True)
    asked: list[str] = []

    def read() -> list[str]:
        asked.append("read")
        return ["a", "b", "c"]

    chunk = Chunk(7, block, [], (block,)).lazy(read)
    assert (chunk.number, len(chunk), len(chunk.add_ids), chunk.remove_ids) == (7, 3, 3, [])
    assert (chunk.plain, chunk.annotated) == (True, False)
    assert asked == []
    assert [list(half.add_ids) for half in chunk.halves()] == [["a"], ["b", "c"]]
    assert Chunk(7, ["c"], [], chunk.origins).rejection("no") == Rejection("add_ids", 7, "no", "7")
    assert (list(chunk.add_ids), chunk.add_ids[1]) == (["a", "b", "c"], "b")
    assert asked == ["read"]
    again = chunk.lazy(read)
    assert (list(again.add_ids), asked) == (["a", "b", "c"], ["read", "read"])


def test_other_ids_stay_where_they_are() -> None:
    plain, quoted = Block("ab", "add_ids", range(2), plain=True), Block('"', "add_ids", [3])
    tagged = Block([AnnotatedId("c", '"tags":["x"]')], "add_ids", [4], annotated=True)
    for chunk in (
        Chunk(1, ["a", "b"], [], (plain,)),
        Chunk(1, plain, [], (plain, plain)),
        Chunk(1, quoted, [], (quoted,)),
        Chunk(1, tagged, [], (tagged,)),
        Chunk(1, [], []),
    ):
        assert chunk.lazy(list) is chunk


def test_a_chunk_that_is_full_waits_for_no_further_id() -> None:
    pulled: list[str] = []

    def source() -> Iterator[str]:
        for id_ in "aabbcc":
            pulled.append(id_)
            yield id_

    assert next(iter(chunks(source(), (), size=2))).add_ids == ["a", "b"]
    assert pulled == list("aabb")
