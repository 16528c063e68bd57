"""The window: live first, back-fill in half of it, again after silence."""

from __future__ import annotations

from agent.delivery import LONGEST_RTO_S, Delivery, ReconnectDelay
from agent.spool import Key


def key(seq: int) -> Key:
    return Key("e", seq)


def connected(window: int = 20) -> Delivery:
    delivery = Delivery(window)
    delivery.connected()
    return delivery


def send(delivery: Delivery, seqs: range, *, backfill: bool, now_s: float = 0.0) -> None:
    for seq in seqs:
        delivery.sent(key(seq), now_s, is_backfill=backfill)


def test_nothing_is_sent_without_a_connection() -> None:
    delivery = Delivery(20)
    assert not delivery.may_send_live()
    assert delivery.backfill_room() == 0


def test_backfill_takes_at_most_half_of_the_window_and_live_the_rest() -> None:
    delivery = connected(20)
    assert delivery.backfill_room() == 10
    send(delivery, range(10), backfill=True)
    assert delivery.backfill_room() == 0
    assert delivery.may_send_live()
    send(delivery, range(100, 110), backfill=False)
    assert not delivery.may_send_live()


def test_live_batches_leave_backfill_what_remains() -> None:
    delivery = connected(20)
    send(delivery, range(15), backfill=False)
    assert delivery.backfill_room() == 5


def test_only_the_collectors_ack_makes_room() -> None:
    delivery = connected(20)
    send(delivery, range(1, 11), backfill=True)
    delivery.acknowledged("other", [(1, 100)], 1.0)
    assert delivery.backfill_room() == 0
    delivery.acknowledged("e", [(1, 4), (9, 9)], 1.0)
    assert delivery.backfill_room() == 5


def test_without_ack_a_batch_is_sent_again_after_a_doubling_time() -> None:
    delivery = connected()
    now_s = 0.0
    for rto_s in (2, 4, 8, 16, 32, LONGEST_RTO_S, LONGEST_RTO_S):
        delivery.sent(key(1), now_s, is_backfill=True)
        delivery.passed(key(1))
        assert delivery.wait_s(now_s) == rto_s
        assert not delivery.expire(now_s + rto_s - 0.001)
        assert delivery.expire(now_s + rto_s)
        assert delivery.cursor is None
        assert not delivery.is_pending(key(1))
        now_s += rto_s


def test_acks_for_live_batches_do_not_hide_that_an_older_one_was_lost() -> None:
    delivery = connected()
    delivery.sent(key(1), 0.0, is_backfill=True)
    for seq in range(2, 20):
        delivery.sent(key(seq), seq / 10, is_backfill=False)
        delivery.acknowledged("e", [(seq, seq)], seq / 10)
    assert delivery.expire(2.0)
    assert not delivery.is_pending(key(1))


def test_a_batch_that_is_never_confirmed_is_sent_ever_less_often_while_others_are() -> None:
    delivery = connected()
    sent_at = []
    for now_s in range(200):
        delivery.expire(now_s)
        if not delivery.is_pending(key(1)):
            delivery.sent(key(1), now_s, is_backfill=True)
            sent_at.append(now_s)
        delivery.sent(key(1000 + now_s), now_s, is_backfill=False)
        delivery.acknowledged("e", [(1000 + now_s, 1000 + now_s)], now_s)
    assert sent_at == [0, 2, 6, 14, 30, 62, 122, 182]


def test_the_first_ack_after_silence_has_everything_else_sent_again_at_once() -> None:
    delivery = connected()
    for now_s in (0.0, 2.0):
        send(delivery, range(1, 4), backfill=True, now_s=now_s)
        delivery.expire(now_s + 4)
    send(delivery, range(1, 4), backfill=True, now_s=6.0)
    delivery.acknowledged("e", [(1, 1)], 7.0)
    assert not any(delivery.is_pending(key(seq)) for seq in (1, 2, 3))
    delivery.sent(key(2), 7.0, is_backfill=True)
    assert delivery.wait_s(7.0) == 2.0


def test_an_empty_window_waits_for_nothing() -> None:
    delivery = connected()
    send(delivery, range(1, 3), backfill=False)
    delivery.acknowledged("e", [(1, 2)], 1.9)
    assert not delivery.expire(1000.0)
    assert delivery.wait_s(1000.0) == LONGEST_RTO_S


def test_a_new_connection_starts_from_the_oldest_with_an_empty_window() -> None:
    delivery = connected()
    send(delivery, range(5), backfill=True)
    delivery.passed(key(4))
    delivery.disconnected()
    assert not delivery.is_pending(key(1))
    delivery.connected()
    assert delivery.cursor is None
    assert delivery.backfill_room() == 10


def test_a_broker_that_takes_few_messages_narrows_the_window_for_its_connection_only() -> None:
    delivery = connected(20)
    delivery.connected(4)
    assert delivery.backfill_room() == 2
    delivery.connected()
    assert delivery.backfill_room() == 10


def test_attempts_to_connect_are_spaced_from_half_a_second_to_thirty() -> None:
    delay = ReconnectDelay()
    assert [delay.take_s() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    delay.reset()
    assert delay.take_s() == 0.5


def test_what_the_collector_holds_is_kept_and_not_sent_again_until_it_lets_go() -> None:
    delivery = connected()
    send(delivery, range(1, 6), backfill=True)
    delivery.passed(key(5))
    delivery.hold("e", ((2, 3),))
    assert [delivery.is_pending(key(seq)) for seq in range(1, 6)] == [True] * 5
    assert delivery.expire(2.0)
    assert [delivery.is_pending(key(seq)) for seq in range(1, 6)] == [False, True, True, False, False]
    delivery.passed(key(5))
    delivery.hold("e", ())
    assert delivery.cursor is None
    assert not delivery.is_pending(key(2))


def test_while_the_collector_is_away_the_broker_is_given_one_batch_and_no_more() -> None:
    delivery = connected()
    delivery.is_awaited = True
    assert delivery.may_send_live()
    assert delivery.backfill_room() == 1
    send(delivery, range(1, 2), backfill=True)
    assert not delivery.may_send_live()
    assert delivery.backfill_room() == 0
    delivery.is_awaited = False
    assert delivery.may_send_live()
    assert delivery.backfill_room() == 9
