from __future__ import annotations

import array
import io
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from airflow_provider_batch.exceptions import BatchError, InvalidArgumentError, InvalidMemberError
from airflow_provider_batch.protocol.arguments import OnInvalidId, list_in_text
from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.audiences.intake import MemberIntake
from airflow_provider_batch.protocol.audiences.members import Member
from airflow_provider_batch.protocol.dialect import MEP_1_0, MEP_1_1, cep
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.rows import Rows

from .metered import Metered

SECRET = "SECRET-ID"


def intake(value: object, size: int = 3, on_invalid_id: OnInvalidId = "fail") -> MemberIntake:
    return MemberIntake(
        value, "add_ids", name="vip", rules=MEP_1_0.members, block_size=size, on_invalid_id=on_invalid_id
    )


def checked(value: object, size: int = 3, on_invalid_id: OnInvalidId = "fail") -> MemberIntake:
    given = intake(value, size, on_invalid_id)
    given.check()
    return given


def ids(value: object) -> list[str]:
    return [id_ for block in checked(value).blocks() for id_ in block]


class Repeatable:
    """Gives the same values to everyone who asks, and is no collection."""

    def __init__(self, *values: object) -> None:
        self.values = values
        self.readings = 0

    def __iter__(self) -> Iterator[object]:
        self.readings += 1
        yield from self.values


@pytest.mark.parametrize("make", [list, iter, lambda values: Repeatable(*values)])
@pytest.mark.parametrize("held", [False, True])
def test_ids_that_may_be_mistakes_are_reported_once_by_number_and_first_place(
    make: Callable[[list[object]], Any], held: bool
) -> None:
    doubts: list[str] = []
    given = make(["a", "b ", "c", "nan", " d", Member(" e"), "NULL", "1.5E+7", "f"])
    made = MemberIntake(given, "ids", name="vip", rules=MEP_1_1.members, block_size=3, on_doubt=doubts.append)
    made.check()
    made.begin()
    if held:
        made.hold()
    assert [id_ for block in made.blocks() for id_ in block] == [
        "a",
        "b ",
        "c",
        "nan",
        " d",
        " e",
        "NULL",
        "1.5E+7",
        "f",
    ]
    assert doubts == [
        "vip: ids with blanks around them (sent as they are; trim_ids=True removes the blanks): 3, the first at ids[1]",
        "vip: ids that look like missing values, such as nan or NULL (sent as they are): 2, the first at ids[3]",
        "vip: ids that look like rounded numbers, such as 1.2E+15 (sent as they are): 1, the first at ids[7]",
    ]
    made.report_doubts()
    assert len(doubts) == 3


def test_an_id_that_may_be_a_mistake_is_reported_by_the_place_of_its_source() -> None:
    class Source(list[object]):
        def blocks(self, size: int) -> Iterator[Rows]:
            sizes.append(size)
            yield Rows(["a", "nan"], "line {}".format)

    doubts: list[str] = []
    sizes: list[int] = []
    made = MemberIntake(Source(), "ids", name="vip", rules=MEP_1_0.members, block_size=3, on_doubt=doubts.append)
    assert list(made.blocks()) == [["a", "nan"]]
    assert sizes == [3]
    assert doubts == [
        "vip: ids that look like missing values, such as nan or NULL (sent as they are): 1, "
        "the first at ids[1] (line 1)"
    ]


def test_the_first_ids_of_a_stream_are_read_once_and_early() -> None:
    source = Metered([None, "", "", "a", "b", "c", "d", "e"])
    made = checked(source, on_invalid_id="skip")
    assert source.read == 0
    made.begin()
    assert (source.read, made.total, made.rejected) == (6, None, 3)
    assert list(made.blocks()) == [["a", "b", "c"], ["d", "e"]]
    assert (made.rejected, [each.position for each in made.rejections]) == (3, [0, 1, 2])


def test_a_stream_without_ids_is_known_to_be_empty_once_it_began() -> None:
    made = checked(iter(()))
    made.begin()
    assert made.total == 0
    assert list(made.blocks()) == []


class Shared:
    """An iterator that hands out another one over the same source, like a cursor or a temporary file."""

    def __init__(self, *values: object) -> None:
        self.source = iter(values)

    def __iter__(self) -> Iterator[object]:
        yield from self.source

    def __next__(self) -> object:
        return next(self.source)


@pytest.mark.parametrize(
    "value",
    [
        ["a", "b"],
        ("a", "b"),
        {"a": 1, "b": 2}.keys(),
        {"x": "a", "y": "b"}.values(),
        iter(["a", "b"]),
        (id_ for id_ in "ab"),
        map(str.lower, "AB"),
        Repeatable("a", "b"),
        [("a",), ["b"]],
        '["a", "b"]',
        "['a', 'b']",
        '  ["a", "b"]\n',
        '[["a"], ["b"]]',
        "[('a',), ('b',)]",
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_iterable_of_ids_is_read_in_its_order(value: object) -> None:
    assert ids(value) == ["a", "b"]


@pytest.mark.parametrize("value", [range(3), array.array("i", [0, 1, 2]), "[0, 1, 2]", iter([0, "1", (2,)])])
def test_numbers_are_read_as_text(value: object) -> None:
    assert ids(value) == ["0", "1", "2"]


def test_a_set_gives_each_of_its_ids() -> None:
    assert sorted(ids({"b", "a"})) == ["a", "b"]


@pytest.mark.parametrize("value", [None, [], (), iter(()), "[]", " [ ] "])
def test_none_and_nothing_are_no_ids(value: object) -> None:
    assert list(checked(value).blocks()) == []


def frame() -> object:
    return SimpleNamespace(columns=["id"], __iter__=lambda: iter(["id"]))


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ({"a": 1}, "Pass one of its values, or list(…) of its keys."),
        (MappingProxyType({"a": 1}), "Pass one of its values, or list(…) of its keys."),
        (b"ab", "Decode and split them first."),
        (bytearray(b"ab"), "Decode and split them first."),
        (memoryview(b"ab"), "Decode and split them first."),
        (io.StringIO("a\nb\n"), "Pass (line.rstrip('\\n') for line in file)."),
        (io.BytesIO(b"a\nb\n"), "Pass (line.rstrip('\\n') for line in file)."),
        (frame(), "Pass its id column, such as frame['id']."),
        (42, "Pass a list of str."),
        (1.5, "Pass a list of str."),
        (True, "Pass a list of str."),
        (object(), "Pass a list of str."),
    ],
)
def test_a_whole_argument_that_is_no_list_of_ids_is_refused_with_a_remedy(value: object, remedy: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        intake(value)
    assert str(caught.value).startswith("add_ids: ")
    assert str(caught.value).endswith(remedy)


def test_an_open_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("a\nb\n")
    with path.open() as file, pytest.raises(InvalidArgumentError, match="line break"):
        intake(file)


def test_a_named_temporary_file_is_refused() -> None:
    with tempfile.NamedTemporaryFile("w+") as file, pytest.raises(InvalidArgumentError, match="line break"):
        intake(file)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a,b", "{{ ids }}", "{'a': 1}", "('a', 'b')", '"a"', "42", "null", "[", "['a'", "[a, b]", "[]]"],
)
def test_a_single_text_is_refused_with_advice(text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        intake(text)
    assert str(caught.value).startswith("add_ids: a single str is not a list")
    assert str(caught.value).endswith(
        "Pass the upstream task's .output, or set render_template_as_native_obj=True on the DAG."
    )


@pytest.mark.parametrize("text", ["None", " None\n"])
def test_the_text_none_is_explained_by_a_missing_xcom(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="the XCom that it was rendered from is missing"):
        intake(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 100_000, id="unclosed"),
        pytest.param("[" * 100_000 + "]" * 100_000, id="deep"),
        pytest.param("[" + "-" * 100_000 + "1]", id="many signs"),
        pytest.param("[" + "9" * 5000 + "]", id="a long number"),
        pytest.param("['\0']", id="a zero byte"),
        pytest.param("['\ud800'", id="a lone surrogate"),
        pytest.param("[f'{1}']", id="code"),
        pytest.param("[{[]: 1}]", id="a list as a key"),
    ],
)
def test_text_that_only_begins_like_a_list_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        list_in_text(text, "add_ids")


def test_a_list_in_text_is_checked_like_any_list() -> None:
    with pytest.raises(InvalidMemberError, match=r"^vip: add_ids\[1\]: the id is missing"):
        checked('["a", null]')


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        f"['{SECRET}'",
        f"[{{'{SECRET}'}}",
        {SECRET: SECRET},
        SECRET.encode(),
        io.StringIO(SECRET),
        SimpleNamespace(columns=[SECRET]),
        SimpleNamespace(id=SECRET),
    ],
)
def test_no_refusal_of_a_whole_argument_shows_an_id(value: object) -> None:
    with pytest.raises(BatchError) as caught:
        intake(value)
    error = caught.value
    assert SECRET not in repr([str(error), repr(error), error.args, vars(error), error.__cause__, error.__context__])


@pytest.mark.parametrize("make", [list, tuple, lambda values: Repeatable(*values)])
def test_what_can_be_read_again_is_checked_to_its_end(make: Any) -> None:
    given = intake(make(["a"] * 10_000 + [None]))
    with pytest.raises(InvalidMemberError) as caught:
        given.check()
    assert caught.value.position == 10_000


def test_a_check_leaves_a_one_pass_iterator_untouched() -> None:
    given = Metered(["a", None])
    checked(given)
    assert given.read == 0


def test_a_one_pass_iterator_is_read_one_block_at_a_time() -> None:
    given = Metered(map(str, range(1_000_000)))
    blocks = checked(given, size=10).blocks()
    read = []
    for _ in range(3):
        next(blocks)
        read.append(given.read)
    assert read == [10, 20, 30]


def test_a_one_pass_iterator_is_checked_as_it_flows() -> None:
    blocks = checked(iter(["a", "b", "c", "d", None]), size=3).blocks()
    assert next(blocks) == ["a", "b", "c"]
    with pytest.raises(InvalidMemberError) as caught:
        next(blocks)
    assert caught.value.position == 4


def test_an_iterator_that_does_not_return_itself_is_read_once() -> None:
    assert ids(Shared("a", "b")) == ["a", "b"]


def test_a_collection_is_read_once_and_freed_of_repetitions() -> None:
    given = checked(["a", "b", "a", "c", "a"])
    assert (list(given.blocks()), given.duplicates, given.total) == ([["a", "b", "c"]], 2, 3)


def test_the_same_id_as_text_number_and_row_is_one() -> None:
    given = checked(["7", 7, ("7",), [7]])
    assert (list(given.blocks()), given.duplicates) == ([["7"]], 3)


def test_ids_that_differ_in_case_or_spaces_are_two() -> None:
    assert ids(["a", "A", " a"]) == ["a", "A", " a"]


def test_a_repeatable_iterable_is_read_once_however_often_its_ids_are_sent() -> None:
    given = Repeatable("a", "b", "c", "d")
    made = checked(given)
    made.check()
    for _ in range(2):
        assert list(made.blocks()) == [["a", "b", "c"], ["d"]]
    assert given.readings == 1


def test_the_ids_of_a_repeatable_iterable_are_put_aside_once_they_are_checked() -> None:
    aside: list[Block] = []

    def put_aside(blocks: Iterator[Block]) -> list[Block]:
        aside.extend(blocks)
        return aside[:1]

    made = MemberIntake(
        Repeatable(1, "b", "c", ("d",)),
        "ids",
        name="vip",
        rules=MEP_1_0.members,
        block_size=3,
        put_aside=put_aside,
    )
    made.check()
    assert aside == [["1", "b", "c"], ["d"]]
    assert made.total == 4
    assert list(made.blocks()) == [["1", "b", "c"]]


def test_ids_that_were_put_aside_are_read_only_as_long_as_nobody_stops_it() -> None:
    class Stopped(Exception):
        pass

    looks = iter([None, None, None, Stopped])

    def checkpoint() -> None:
        if (error := next(looks)) is not None:
            raise error

    made = MemberIntake(
        Repeatable(*"abcd"), "ids", name="vip", rules=MEP_1_0.members, block_size=2, checkpoint=checkpoint
    )
    made.check()
    blocks = made.blocks()
    assert next(blocks) == ["a", "b"]
    with pytest.raises(Stopped):
        next(blocks)


def test_a_repeatable_iterable_knows_its_total_after_the_check() -> None:
    assert checked(Repeatable("a", "b", "a")).total == 3


def test_a_one_pass_iterator_does_not_know_its_total() -> None:
    assert checked(iter(["a"])).total is None


def test_a_repeatable_iterable_whose_bad_values_are_skipped_is_read_once() -> None:
    given = Repeatable("a", None)
    made = checked(given, on_invalid_id="skip")
    assert [rejection.position for rejection in made.rejections] == [1]
    assert list(made.blocks()) == [["a"]]
    assert (given.readings, made.rejected) == (1, 1)


@pytest.mark.parametrize("make", [list, iter, lambda values: Repeatable(*values)])
def test_skipped_values_are_counted_and_left_out(make: Any) -> None:
    given = checked(make(["a", None, "b", "", 1.5, "c"]), on_invalid_id="skip")
    blocks = list(given.blocks())
    assert ([id_ for block in blocks for id_ in block], given.rejected) == (["a", "b", "c"], 3)


@pytest.mark.parametrize("make", [list, iter])
def test_skipped_values_are_named_by_place_and_reason(make: Any) -> None:
    given = checked(make(["a", None, "b", "c", ""]), on_invalid_id="skip")
    list(given.blocks())
    assert [(r.argument, r.position, r.reason) for r in given.rejections] == [
        ("add_ids", 1, "the id is missing (None). Drop the row."),
        ("add_ids", 4, "the id is empty. Drop the row."),
    ]


def test_only_the_first_ten_skipped_values_are_named() -> None:
    given = checked([None] * 25, on_invalid_id="skip")
    assert (given.rejected, [r.position for r in given.rejections]) == (25, list(range(10)))


@pytest.mark.parametrize("choice", ["ignore", "", None, True])
def test_any_other_way_with_bad_values_is_refused(choice: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"is not 'fail' or 'skip'$"):
        intake(["a"], on_invalid_id=choice)


def test_skipped_values_are_not_shown() -> None:
    given = checked([SECRET * 100, (SECRET, SECRET), {"id": SECRET}], on_invalid_id="skip")
    assert SECRET not in repr(given.rejections)


def test_a_block_of_nothing_but_skipped_values_is_not_given() -> None:
    assert list(checked(iter([None] * 6 + ["a"]), size=2, on_invalid_id="skip").blocks()) == [["a"]]


def test_a_json_list_of_many_ids_is_read() -> None:
    many = [f"id-{number}" for number in range(10_000)]
    assert ids(json.dumps(many)) == many


# Members.


def blocks(value: object, size: int = 3, argument: str = "add_ids") -> list[Block]:
    given = MemberIntake(value, argument, name="vip", rules=MEP_1_1.members, block_size=size)
    given.check()
    return list(given.blocks())


def beside(id_: str) -> str | None:
    return id_.extras if isinstance(id_, AnnotatedId) else None


def known(id_: str, plan: str) -> Member:
    return Member(id_, {"plan": plan})


@pytest.mark.parametrize("make", [list, iter, lambda values: Repeatable(*values)])
def test_members_and_plain_ids_may_stand_together(make: Any) -> None:
    (block,) = blocks(make(["a", known("b", "gold"), {"id": "c", "tags": ["new"]}]))
    assert [(id_, beside(id_)) for id_ in block] == [
        ("a", None),
        ("b", '"attributes":{"plan":"gold"}'),
        ("c", '"tags":["new"]'),
    ]
    assert block.annotated


@pytest.mark.parametrize("make", [list, iter])
def test_ids_without_anything_beside_them_are_not_looked_at_twice(make: Any) -> None:
    (block,) = blocks(make(["a", Member("b"), {"id": "c"}]))
    assert not block.annotated
    assert [type(id_) for id_ in block] == [str, str, str]


@pytest.mark.parametrize("make", [list, iter])
@pytest.mark.parametrize(
    ("values", "plain"),
    [
        (["a", "é"], True),
        (["a", 'b"'], False),
        (["a", "b\\"], False),
        (["a", 1], False),
        ([Member("a", {"n": 1})], False),
    ],
)
def test_ids_are_plain_if_they_are_known_to_stand_in_json_as_they_are(
    make: Any, values: list[object], plain: bool
) -> None:
    assert [block.plain for block in blocks(make(values))] == [plain]


def test_one_block_that_is_not_plain_makes_all_of_a_collection_not_plain() -> None:
    assert not any(block.plain for block in blocks([*"abcd", '"', *"efgh"]))


def test_of_several_members_with_one_id_the_first_counts() -> None:
    (block,) = blocks([known("a", "first"), "a", known("a", "last"), "b", known("b", "late")])
    assert [(id_, beside(id_)) for id_ in block] == [("a", '"attributes":{"plan":"first"}'), ("b", None)]
    assert list(block.positions) == [0, 3]


def test_every_slice_of_a_collection_keeps_what_stands_beside_its_ids() -> None:
    parts = blocks([known(str(number), str(number)) if number % 2 else str(number) for number in range(7)])
    assert [(str(id_), beside(id_) is not None) for part in parts for id_ in part] == [
        (str(number), bool(number % 2)) for number in range(7)
    ]
    assert [part.annotated for part in parts] == [any(int(id_) % 2 for id_ in part) for part in parts]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Member(None, {"a": 1}), "the id is missing (None). Drop the row."),
        (Member("a", {"vip": True}), "attribute 'vip': a value of type bool cannot be sent"),
        ({"id": "a", "plan": SECRET}, "a member has only the fields id, attributes and tags"),
    ],
)
def test_a_member_that_is_none_is_told_by_its_place(bad: object, reason: str) -> None:
    with pytest.raises(InvalidMemberError, match=re.escape(reason)) as caught:
        blocks(["a", bad])
    assert caught.value.position == 1


def test_skipped_members_are_left_out() -> None:
    given = MemberIntake(
        [known("a", "gold"), Member("b", {"vip": True}), "c"],
        "add_ids",
        name="vip",
        rules=MEP_1_1.members,
        block_size=3,
        on_invalid_id="skip",
    )
    given.check()
    assert [list(block) for block in given.blocks()] == [["a", "c"]]
    assert [rejection.where for rejection in given.rejections] == ["add_ids[1]"]


def test_a_list_of_members_in_text_is_read() -> None:
    (block,) = blocks('[{"id": "a", "attributes": {"plan": "gold"}}, "b"]')
    assert [(id_, beside(id_)) for id_ in block] == [("a", '"attributes":{"plan":"gold"}'), ("b", None)]


def test_ids_to_remove_have_nothing_beside_them() -> None:
    values = [Member("a"), Member("b", {"n": 1})]
    rules = cep().dialects[0].members
    with pytest.raises(
        InvalidMemberError, match=r"^vip: remove_ids\[1\]: an id to remove cannot have attributes or tags"
    ):
        list(MemberIntake(values, "remove_ids", name="vip", rules=rules, block_size=3).blocks())


def test_members_have_their_places_in_the_argument_whatever_their_block() -> None:
    parts = blocks(known(id_, "gold") for id_ in "abcd")
    assert [(part.argument, list(part.positions)) for part in parts] == [("add_ids", [0, 1, 2]), ("add_ids", [3])]


def test_a_member_has_the_place_that_its_source_names() -> None:
    class Source(list[object]):
        def blocks(self, size: int) -> Iterator[Rows]:
            yield Rows([Member("a", {"n": 1}), Member("b", {"n": 2})], "line {}".format)

    (block,) = MemberIntake(Source(), "ids", name="vip", rules=MEP_1_1.members, block_size=3).blocks()
    assert [block.rejection(index, "").place for index in range(2)] == ["line 0", "line 1"]


def test_a_value_that_is_skipped_has_the_place_that_its_source_names() -> None:
    class Source(list[object]):
        def blocks(self, size: int) -> Iterator[Rows]:
            yield Rows(["a", "b"], "line {}".format)
            yield Rows(["c", None], "page {}".format)

    given = intake(Source(), on_invalid_id="skip")
    (block,) = given.blocks()
    assert [(id_, block.rejection(index, "").place) for index, id_ in enumerate(block)] == [
        ("a", "line 0"),
        ("b", "line 1"),
        ("c", "page 0"),
    ]
    assert [rejection.where for rejection in given.rejections] == ["add_ids[3] (page 1)"]
