"""What is settled, and what the ack says of it."""

from __future__ import annotations

from dataclasses import replace

from collector.gaps import MAX_RANGES, Owner, Settled, Standing, ack, settle
from pue.contract.canonical import ZERO_HASH

OWNER = Owner("yn-c1", 3)
EPOCH = "0" * 20


def test_nothing_settled_is_upto_nothing() -> None:
    assert (Settled().upto, Settled().beyond, Settled().head, Settled().missing) == (0, (), 0, ())


def test_a_gap_stops_upto_and_what_follows_is_a_range() -> None:
    settled = Settled().add(1, 3).add(7, 7).add(5, 5)
    assert (settled.upto, settled.beyond, settled.missing) == (3, ((5, 5), (7, 7)), ((4, 4), (6, 6)))
    assert 5 in settled
    assert 6 not in settled


def test_a_missing_first_batch_keeps_upto_at_zero() -> None:
    settled = Settled().add(2, 9)
    assert (settled.upto, settled.beyond, settled.missing) == (0, ((2, 9),), ((1, 1),))


def test_filling_a_gap_joins_its_neighbours() -> None:
    assert Settled(((1, 3), (5, 9))).add(4, 4) == Settled(((1, 9),))


def test_a_declared_range_swallows_what_lies_in_it() -> None:
    assert Settled(((1, 1), (3, 3), (5, 8))).add(2, 6) == Settled(((1, 8),))


def test_the_ack_names_the_hash_of_upto_or_zeros_when_it_was_not_kept() -> None:
    settled = settle([1, 2, 4])
    standing = Standing(settled, "a" * 64, [(2, "unknown_meter")], settle([7, 8]), 2)
    sent = ack(OWNER, "km01-a1", EPOCH, standing, 99)
    assert (sent.v, sent.held, sent.time_ms) == (2, [(7, 8)], 99)
    assert (sent.upto, sent.sha256, sent.ranges, sent.generation) == (2, "a" * 64, [(4, 4)], 3)
    assert sent.refused == [(2, "unknown_meter")]
    assert ack(OWNER, "km01-a1", EPOCH, replace(standing, upto_sha256=None), 99).sha256 == ZERO_HASH


def test_an_ack_stays_small_however_torn_the_epoch_is() -> None:
    torn = settle(range(1, 10_000, 2))
    sent = ack(OWNER, "km01-a1", EPOCH, Standing(torn, None, [], torn, 2), 99)
    assert (len(sent.ranges), len(sent.held)) == (MAX_RANGES, MAX_RANGES)
