"""What each kind of ack makes the agent do."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.acks import FIRST_TIME, AckJudge, EpochFacts, Fork, Ignore, Range, Settle, merged, missing
from pue.contract.canonical import ZERO_HASH
from pue.contract.wire import Ack

EPOCH = "019000000000aaaaaaaa"
SHA = "a" * 64
OTHER = "b" * 64


def ack(
    upto: int,
    ranges: list[Range] | None = None,
    *,
    sha: str = SHA,
    refused: list[tuple[int, str]] | None = None,
    generation: int = 1,
) -> Ack:
    return Ack(
        collector="c", generation=generation, agent="me", epoch=EPOCH, upto=upto, sha256=sha, ranges=ranges or [],
        refused=refused or [],
    )  # fmt: skip


def facts(head: int, acked: int = 0, sha: str | None = SHA, *, is_open: bool = True) -> EpochFacts:
    return EpochFacts(is_open, head, acked, sha)


def test_an_ack_settles_everything_up_to_its_mark_its_ranges_and_what_was_refused() -> None:
    verdict = AckJudge("me").judge(ack(3, [(6, 7)], refused=[(8, "unknown_meter")]), facts(10))
    assert verdict == Settle(((1, 3), (6, 8)), 3, False)


def test_an_ack_beyond_our_head_means_that_our_spool_is_not_the_one_the_collector_knows() -> None:
    assert isinstance(AckJudge("me").judge(ack(11), facts(10, sha=None)), Fork)


def test_another_hash_for_the_same_batch_means_the_same() -> None:
    assert isinstance(AckJudge("me").judge(ack(5, sha=OTHER), facts(10)), Fork)


def test_no_hash_on_either_side_proves_nothing() -> None:
    judge = AckJudge("me")
    assert isinstance(judge.judge(ack(5, sha=ZERO_HASH), facts(10)), Settle)
    assert isinstance(judge.judge(ack(5, sha=OTHER), facts(10, sha=None)), Settle)
    assert isinstance(judge.judge(ack(0, sha=ZERO_HASH), facts(0, sha=None)), Settle)


def test_acks_for_others_for_unknown_and_for_left_epochs_are_ignored() -> None:
    judge = AckJudge("me")
    assert isinstance(AckJudge("other").judge(ack(5), facts(10)), Ignore)
    assert isinstance(judge.judge(ack(5), None), Ignore)
    assert isinstance(judge.judge(ack(50), facts(10, is_open=False)), Ignore)


def test_of_two_collectors_of_one_shard_the_one_that_was_started_later_is_believed() -> None:
    judge = AckJudge("me")
    early, late = FIRST_TIME + 1, FIRST_TIME + 2
    assert isinstance(judge.judge(ack(5, generation=early), facts(10)), Settle)
    assert isinstance(judge.judge(ack(7, generation=late), facts(10)), Settle)
    verdict = judge.judge(ack(9, generation=early), facts(10))
    assert isinstance(verdict, Ignore)
    assert "two collectors own this shard; stop the older one" in verdict.reason
    assert isinstance(judge.judge(ack(9, generation=7), facts(10)), Ignore)
    assert isinstance(judge.judge(ack(9, generation=late), facts(10)), Settle)


def test_a_collector_of_release_0_1_may_begin_to_count_anew() -> None:
    judge = AckJudge("me")
    assert isinstance(judge.judge(ack(5, generation=7), facts(10)), Settle)
    assert isinstance(judge.judge(ack(6, generation=1), facts(10)), Settle)


def test_one_lower_ack_may_be_an_old_one_and_a_second_is_believed() -> None:
    judge = AckJudge("me")
    regressed = [
        verdict.regressed
        for upto in (4, 4, 9, 4, 4)
        if isinstance(verdict := judge.judge(ack(upto), facts(10, acked=8)), Settle)
    ]
    assert regressed == [False, True, False, False, True]


def test_ranges_beyond_our_head_are_cut() -> None:
    verdict = AckJudge("me").judge(ack(3, [(9, 99)]), facts(10))
    assert isinstance(verdict, Settle)
    assert verdict.ranges == ((1, 3), (9, 10))


RANGES = st.lists(st.tuples(st.integers(-5, 40), st.integers(-5, 40)), max_size=8)


def covered(ranges: list[Range], last: int) -> set[int]:
    return {seq for low, high in ranges for seq in range(max(low, 1), min(high, last) + 1)}


@given(RANGES, st.integers(0, 30))
def test_merged_and_missing_ranges_share_out_all_seqs(ranges: list[Range], last: int) -> None:
    joined = list(merged(ranges, last))
    gaps = list(missing(joined, last))
    assert covered(joined, last) == covered(ranges, last)
    assert covered(gaps, last) == set(range(1, last + 1)) - covered(ranges, last)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(joined))
