from __future__ import annotations

import random
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batch.mirror.diff import Counts, SortedBlock, as_uncertain, differences, with_uncertain
from airflow_provider_batch.mirror.lines import id_from, line_of, with_digests
from airflow_provider_batch.protocol.ids import AnnotatedId

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


def texts(lines: list[str], size: int) -> Iterator[bytes]:
    return ("".join(line + "\n" for line in block).encode() for block in blocks(lines, size))


def sorted_blocks(colours: dict[str, str | None], size: int) -> Iterator[SortedBlock]:
    lines = sorted(map(line_of, members(colours)))
    return map(SortedBlock, blocks(lines, size), texts(with_digests(lines), size))


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
    olds = texts(with_digests(sorted(map(line_of, members(old)))), old_size)
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


def test_every_kind_of_change_is_counted_and_the_ids_of_a_block_come_together() -> None:
    new = {"a1": None, "a2": None, "c1": "red", "c2": "blue", "r1": None, "r2": "red", "s": None, "u1": None}
    new["z"] = None
    old = {"c1": "blue", "c2": None, "g1": None, "g2": "red", "r1": None, "r2": "red", "s": None}
    old |= {"z": None, "z1": None, "z2": "red"}
    # g2 and u2 are of unfinished tries, of which the snapshot knows the one.
    pending = ["a2", "g2", "r1", "r2", "u1", "u2", "u3"]
    counts = Counts(given=9, duplicates=5)
    olds = with_uncertain(texts(with_digests(sorted(map(line_of, members(old)))), 50), iter([pending]))
    found = [one for one in differences(sorted_blocks(new, 50), olds, counts) if any(one)]
    sent = [line_of(member) for member in members(new) if member not in "sz"]
    assert found == [(sent, ["g1", "g2", "u2", "u3"]), ([], ["z1", "z2"])]
    assert found[0].ids() == ["a1", "a2", "c1", "c2", "g1", "g2", "r1", "r2", "u1", "u2", "u3"]
    assert counts == Counts(given=9, duplicates=5, added=3, changed=2, resent=2, unchanged=2, removed=4, withdrawn=2)
    assert (counts.adds, counts.removes) == (7, 6)


def test_what_a_snapshot_lacks_of_uncertain_ids_is_put_in_its_place() -> None:
    old = [b"b\nd\x01digest\n", b"f\n", b"h\n"]
    pending = iter([["a", "b"], [], ["c", "d", "e"], ["g"], ["i", "j"]])
    assert list(with_uncertain(iter(old), pending)) == [
        b"a\x01!\nb\x01?\nc\x01!\nd\x01?\n",
        b"e\x01!\nf\n",
        b"g\x01!\nh\n",
        b"i\x01!\nj\x01!\n",
    ]
    assert list(with_uncertain(iter(old), iter([["b"]]))) == [b"b\x01?\nd\x01digest\n", b"f\n", b"h\n"]
    assert list(with_uncertain([], iter([["a"]]))) == [b"a\x01!\n"]
    many = [f"{number:05d}" for number in range(10_000)]
    found = list(with_uncertain([], iter([many])))
    assert [text.count(b"\n") for text in found] == [8_192, 1_808]
    assert as_uncertain(b"b\nd\x01digest\n") == b"b\x01?\nd\x01?\n"


def whole(lines: list[str]) -> Iterator[SortedBlock]:
    return map(SortedBlock, [lines], texts(lines, len(lines)))


def test_long_stretches_that_agree_are_passed_over() -> None:
    ids = [f"{number:06d}" for number in range(50_000)]
    counts = Counts()
    found = list(differences(whole(ids[1:]), texts(ids[:-1], 30_000), counts))
    assert [one for one in found if any(one)] == [([], [ids[0]]), ([ids[-1]], [])]
    assert (counts.unchanged, counts.added, counts.removed) == (49_998, 1, 1)


def test_what_vanishes_is_not_gathered() -> None:
    ids = [f"{number:06d}" for number in range(10_000)]
    read = 0

    def old() -> Iterator[bytes]:
        nonlocal read
        for text in texts(ids, 100):
            read += 1
            yield text

    gone = 0
    for one in differences(whole(["000000"]), old(), Counts()):
        gone += len(one.removes)
        assert len(one.removes) <= 100
        assert 100 * read <= gone + 201  # the end of the old set is read ahead
    assert gone == 9_999


def test_what_is_not_numbered_is_found_wherever_it_is() -> None:
    """Ids without a common beginning, and with blanks: half a line of them sorts anywhere."""
    chance = random.Random(7)
    ids = sorted({f"{chance.getrandbits(64):016x} {chance.getrandbits(64):016x}" for _ in range(6_000)})
    for start, end in ((0, 1), (0, 3_000), (1_500, 1_503), (100, 5_900), (5_990, 6_000)):
        few = ids[:start] + ids[end:]
        counts = Counts()
        found = list(differences(whole(few), texts(ids, 2_500), counts))
        assert [line for one in found for line in one.removes] == ids[start:end]
        assert not any(one.adds for one in found)
        found = list(differences(whole(ids), texts(few, 2_500), counts))
        assert [line for one in found for line in one.adds] == ids[start:end]
        assert not any(one.removes for one in found)
        assert counts == Counts(added=end - start, removed=end - start, unchanged=2 * len(few))


def test_counts_go_on_from_block_to_block() -> None:
    new = {f"{number:02d}": "red" if number % 3 else None for number in range(40)}
    old = {id_: "blue" if id_ > "30" else colour for id_, colour in new.items() if id_ > "04"} | {"99": None}
    counts = Counts()
    olds = with_uncertain(texts(with_digests(sorted(map(line_of, members(old)))), 9), iter([["06"], ["20", "98"]]))
    list(differences(sorted_blocks(new, 7), olds, counts))
    assert counts == Counts(added=5, changed=9, resent=2, unchanged=24, removed=1, withdrawn=1)


@given(st.integers(0, 3_000), st.integers(0, 3_000), st.integers(1, 1_000), st.integers(1, 1_000))
def test_runs_of_any_length_that_one_side_lacks(new: int, old: int, new_size: int, old_size: int) -> None:
    both = [f"{number:04d}-both" for number in range(0, 3_000, 500)]
    news = sorted({*both, *(f"{number:04d}-new" for number in range(new))})
    olds = sorted({*both, *(f"{number:04d}-old" for number in range(old))})
    counts = Counts()
    found = list(
        differences(map(SortedBlock, blocks(news, new_size), texts(news, new_size)), texts(olds, old_size), counts)
    )
    assert [line for one in found for line in one.adds] == [line for line in news if line.endswith("new")]
    assert [line for one in found for line in one.removes] == [line for line in olds if line.endswith("old")]
    assert (counts.unchanged, counts.added, counts.removed) == (len(both), new, old)
