"""Which batch goes out next: live first, back-fill in the rest of the window, again when acks stay away. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

from agent.acks import Range
from agent.spool import Key

FIRST_RTO_S = 2.0
LONGEST_RTO_S = 60.0


class Delivery:
    """Batches under way to the collector on the present connection.

    "Under way" means published and not acknowledged by the collector; the broker's PUBACK changes nothing.

    Parameters
    ----------
    window
        Most batches under way at once; back-fill takes at most half of it.
    """

    def __init__(self, window: int) -> None:
        self._widest = self._window = window
        self._flying: dict[Key, bool] = {}
        self._cursor: Key | None = None
        self._rto_s = FIRST_RTO_S
        self._waiting_since_s: float | None = None
        self.is_connected = False

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
        self._window = min(self._widest, most or self._widest)
        self._rto_s = FIRST_RTO_S
        self.is_connected = True
        self.rewind()

    def disconnected(self) -> None:
        """Nothing can be sent."""
        self.is_connected = False
        self.rewind()

    def rewind(self) -> None:
        """Start again at the oldest unconfirmed batch."""
        self._flying.clear()
        self._cursor = None
        self._waiting_since_s = None

    def may_send_live(self) -> bool:
        """Is there room for a batch that was just appended?"""
        return self.is_connected and len(self._flying) < self._window

    def backfill_room(self) -> int:
        """How many older batches may be sent now."""
        if not self.is_connected:
            return 0
        backfill = sum(self._flying.values())
        return max(0, min(self._window // 2 - backfill, self._window - len(self._flying)))

    def is_flying(self, key: Key) -> bool:
        """Was it sent on this connection and not yet confirmed?"""
        return key in self._flying

    def sent(self, key: Key, now_s: float, *, is_backfill: bool) -> None:
        """Note a batch as under way."""
        self._flying[key] = is_backfill
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s

    def passed(self, key: Key) -> None:
        """Back-fill has dealt with this batch."""
        self._cursor = key

    def acknowledged(self, epoch: str, ranges: Iterable[Range], now_s: float) -> None:
        """Take confirmed batches out; any ack shows that the collector is there."""
        spans = list(ranges)
        done = [
            key for key in self._flying if key.epoch == epoch and any(low <= key.seq <= high for low, high in spans)
        ]
        for key in done:
            del self._flying[key]
        self._rto_s = FIRST_RTO_S
        if done:
            self._waiting_since_s = now_s if self._flying else None

    def expire(self, now_s: float) -> bool:
        """Give up waiting when no ack moved for the time-out, which then doubles; True when all is sent again."""
        if self._waiting_since_s is None or now_s < self._waiting_since_s + self._rto_s:
            return False
        self._rto_s = min(self._rto_s * 2, LONGEST_RTO_S)
        self.rewind()
        return True

    def wait_s(self, now_s: float) -> float:
        """How long nothing has to be done unless something happens. [s]"""
        if self._waiting_since_s is None:
            return LONGEST_RTO_S
        return max(0.0, self._waiting_since_s + self._rto_s - now_s)


class ReconnectDelay:
    """How long to wait before the next attempt to reach the broker: doubling from half a second to 30."""

    def __init__(self) -> None:
        self._next_s = 0.5

    def reset(self) -> None:
        """A connection was made."""
        self._next_s = 0.5

    def take_s(self) -> float:
        """Delay before the next attempt. [s]"""
        delay_s, self._next_s = self._next_s, min(self._next_s * 2, 30.0)
        return delay_s
