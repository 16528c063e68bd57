"""Which batch goes out next: live first, back-fill in the rest of the window, again when its ack stays away. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.acks import Range
from agent.spool import Key

FIRST_RTO_S = 2.0
LONGEST_RTO_S = 60.0


@dataclass(frozen=True, slots=True)
class _Flight:
    sent_s: float
    is_backfill: bool


class Delivery:
    """Batches under way to the collector on the present connection.

    "Under way" means published and not acknowledged by the collector; the broker's PUBACK changes nothing. Each
    batch has its own time-out, so that acks for live batches do not hide that an older one was lost.

    Parameters
    ----------
    window
        Most batches under way at once; back-fill takes at most half of it.
    """

    def __init__(self, window: int) -> None:
        self._widest = self._window = window
        self._flying: dict[Key, _Flight] = {}
        self._tries: dict[Key, int] = {}
        self._cursor: Key | None = None
        self._heard_s = 0.0
        self._was_silent = False
        self._held: dict[str, tuple[Range, ...]] = {}
        self.is_connected = False
        self.is_awaited = False
        """Whether the collector said that it is away: the broker is to hold one batch for it, not the backlog."""

    @property
    def cursor(self) -> Key | None:
        """Back-fill continues after this batch."""
        return self._cursor

    def connected(self, most: int | None = None) -> None:
        """A new connection: nothing is under way any more, everything unconfirmed is sent again.

        Parameters
        ----------
        most
            Batches this broker takes at once, if that may be less than the window.
        """
        # A broker that takes fewer at once than paho sends would close the connection for the first one too many.
        self._window = min(self._widest, most or self._widest)
        self.is_connected = True
        self.rewind()

    def disconnected(self) -> None:
        """Nothing can be sent."""
        self.is_connected = False
        self.rewind()

    def rewind(self) -> None:
        """Start again at the oldest unconfirmed batch, with short time-outs."""
        self._flying.clear()
        self._tries.clear()
        self._cursor = None
        self._was_silent = False

    def may_send_live(self) -> bool:
        """Is there room for a batch that was just appended?"""
        return self.is_connected and len(self._flying) < self._room

    def backfill_room(self) -> int:
        """How many older batches may be sent now."""
        if not self.is_connected:
            return 0
        backfill = sum(flight.is_backfill for flight in self._flying.values())
        return max(0, min(max(1, self._room // 2) - backfill, self._room - len(self._flying)))

    @property
    def _room(self) -> int:
        """Most batches under way now; one tells that a collector is back which does not say so itself."""
        return 1 if self.is_awaited else self._window

    def is_pending(self, key: Key) -> bool:
        """Is it under way, or held by the collector?"""
        return key in self._flying or _within(key.seq, self._held.get(key.epoch, ()))

    def hold(self, epoch: str, ranges: tuple[Range, ...]) -> None:
        """Note what the collector holds of an epoch; what it holds no longer may have to be sent again."""
        if self._held.get(epoch, ()) != ranges:
            self._held[epoch] = ranges
            self._cursor = None
        for key in [key for key in self._flying if key.epoch == epoch and _within(key.seq, ranges)]:
            del self._flying[key]

    def sent(self, key: Key, now_s: float, *, is_backfill: bool) -> None:
        """Note a batch as under way."""
        self._flying[key] = _Flight(now_s, is_backfill)
        self._tries[key] = self._tries.get(key, 0) + 1

    def passed(self, key: Key) -> None:
        """Back-fill has dealt with this batch."""
        self._cursor = key

    def acknowledged(self, epoch: str, ranges: Iterable[Range], now_s: float) -> None:
        """Take confirmed batches out; the first ack after silence has everything else sent again at once."""
        spans = list(ranges)
        for key in [key for key in self._tries if key.epoch == epoch and _within(key.seq, spans)]:
            del self._tries[key]
            self._flying.pop(key, None)
        self._heard_s = now_s
        if self._was_silent:
            self.rewind()

    def expire(self, now_s: float) -> bool:
        """Give up on batches whose ack stayed away; True when there were any, and they are sent again.

        A batch's time-out doubles with each try: one that can never be confirmed costs little.
        """
        late = [key for key in self._flying if now_s >= self._due_s(key)]
        for key in late:
            # Nothing was heard since it was sent: not this batch was lost, but whoever answers.
            self._was_silent |= self._heard_s < self._flying.pop(key).sent_s
        if late:
            self._cursor = None
        return bool(late)

    def wait_s(self, now_s: float) -> float:
        """How long nothing has to be done unless something happens. [s]"""
        return max(0.0, min((self._due_s(key) - now_s for key in self._flying), default=LONGEST_RTO_S))

    def _due_s(self, key: Key) -> float:
        # 2 s after the first sending, then 4, 8 ... at most 60 s after the one before.
        return self._flying[key].sent_s + min(FIRST_RTO_S * 2.0 ** (self._tries[key] - 1), LONGEST_RTO_S)


def _within(seq: int, spans: Iterable[Range]) -> bool:
    return any(low <= seq <= high for low, high in spans)


class ReconnectDelay:
    """How long to wait before the next attempt to reach the broker: doubling from half a second to 30."""

    def __init__(self) -> None:
        self._next_s = 0.5

    def reset(self) -> None:
        """A connection was made."""
        self._next_s = 0.5

    def take_s(self) -> float:
        """Delay before the next attempt. [s]"""
        delay_s = self._next_s
        self._next_s = min(self._next_s * 2, 30.0)
        return delay_s
