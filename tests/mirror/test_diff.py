from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batch.mirror.diff import Counts, SortedBlock, differences, with_uncertain
from airflow_provider_batch.mirror.lines import id_from, line_of, with_digests
from airflow_provider_batch.protocol.audiences.members import AnnotatedId

from .test_lines import told

#: Few ids, so that they meet; many sizes, so that every end of a block is met.
IDS = st.sampled_from([f"{letter}{number:03d}" for letter in "ab" for number in range(60)] + ["a", "b", "a001\n"])
SETS = st.dictionaries(IDS, st.sampled_from([None, None, None, "red", "blue"]), max_size=120)
SIZES = st.integers(1, 50)


def members(colours: dict[str, str | None]) -> list[str]:
    return [id_ if colour is None else AnnotatedId(id_, f'"tags":["{colour}"]') for id_, colour in colours.items()]


def blocks(lines: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(lines), size):
        yield lines[start : start + size]
    yield []


def sorted_blocks(colours: dict[str, str | None], size: int) -> Iterator[SortedBlock]:
    for block in blocks(sorted(map(line_of, members(colours))), size):
        marks = with_digests(block)
        yield SortedBlock(block, marks, "\n".join(marks))


@given(SETS, SETS, st.sets(IDS, max_size=60), SIZES, SIZES, SIZES)
def test_what_is_sent_is_the_difference_and_what_is_uncertain(
    new: dict[str, str | None],
    old: dict[str, str | None],
    pending: set[str],
    new_size: int,
    old_size: int,
    pending_size: int,
) -> None:
    counts = Counts()
    olds = blocks(with_digests(sorted(map(line_of, members(old)))), old_size)
    uncertain = blocks(sorted(map(line_of, pending)), pending_size)
    found = list(differences(sorted_blocks(new, new_size), with_uncertain(olds, uncertain), counts))

    adds = [told(id_from(line)) for one in found for line in one.adds]
    removes = [id_from(line) for one in found for line in one.removes]
    sent_again = {id_ for id_ in new if id_ in pending or id_ not in old or new[id_] != old[id_]}
    assert adds == list(map(told, members({id_: new[id_] for id_ in sorted(new) if id_ in sent_again})))
    assert removes == sorted(id_ for id_ in {*old, *pending} if id_ not in new)

    assert counts.added == len([id_ for id_ in new if id_ not in old])
    assert counts.resent == len([id_ for id_ in new if id_ in old and id_ in pending])
    assert counts.changed == len(sent_again) - counts.added - counts.resent
    assert counts.unchanged == len(new) - len(sent_again)
    assert counts.removed == len([id_ for id_ in old if id_ not in new])
    assert counts.withdrawn == len([id_ for id_ in pending if id_ not in old and id_ not in new])
    assert (counts.adds, counts.removes) == (len(adds), len(removes))

    ids = [id_ for one in found for id_ in one.ids()]
    assert ids == sorted(map(line_of, [*(id_ for id_, _ in adds), *removes]))


def test_long_stretches_that_agree_are_passed_over() -> None:
    ids = [f"{number:06d}" for number in range(50_000)]
    counts = Counts()
    new = SortedBlock(ids[1:], ids[1:], "")
    found = list(differences([new], [ids[:30_000], ids[30_000:-1]], counts))
    assert [one for one in found if any(one)] == [([], [ids[0]]), ([ids[-1]], [])]
    assert (counts.unchanged, counts.added, counts.removed) == (49_998, 1, 1)


def test_what_vanishes_is_not_gathered() -> None:
    ids = [f"{number:06d}" for number in range(10_000)]
    read = 0

    def old() -> Iterator[list[str]]:
        nonlocal read
        for start in range(0, 10_000, 100):
            read += 1
            yield ids[start : start + 100]

    gone = 0
    for one in differences([SortedBlock(["000000"], ["000000"], "000000\n")], old(), Counts()):
        gone += len(one.removes)
        assert len(one.removes) <= 100
        assert 100 * read <= gone + 101
    assert gone == 9_999
