"""The log in memory, indexed by entity: every state of every entity as it was known at any event."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from threading import Lock

from compliance.log import Event, EventLog


class Projection:
    """Follows the log; lists only grow, so a reader that stays at one `seq` sees one unchanging state."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._lock = Lock()
        self._events: list[Event] = []
        self._by_entity: dict[str, list[Event]] = {}

    def refresh(self) -> int:
        """Read what is new and return the log's head."""
        with self._lock:
            for event in self._log.read(len(self._events)):
                self._by_entity.setdefault(event.entity, []).append(event)
                self._events.append(event)
            return len(self._events)

    def events(self, after: int, seq: int) -> list[Event]:
        """Events with `after` < seq <= `seq`."""
        return self._events[after:seq]

    def entities(self, prefix: str, seq: int) -> list[str]:
        """Names that begin with `prefix` and existed at `seq`, sorted."""
        known = list(self._by_entity.items())
        return sorted(name for name, events in known if name.startswith(prefix) and events[0].seq <= seq)

    def history(self, entity: str, seq: int) -> list[Event]:
        """Everything that happened to an entity up to `seq`, oldest first."""
        events = self._by_entity.get(entity, [])
        return events[: bisect_right(events, seq, key=lambda event: event.seq)]

    def last(self, entity: str, seq: int) -> Event | None:
        """The latest event of an entity at `seq`."""
        history = self.history(entity, seq)
        return history[-1] if history else None

    def last_seq(self, entity: str, seq: int) -> int:
        """Sequence number of the latest event of an entity at `seq`; 0 without one."""
        event = self.last(entity, seq)
        return event.seq if event else 0

    def seq_known_at(self, time_ms: int) -> int:
        """The last event recorded at or before a time; 0 before the first."""
        return bisect_right(self._events, time_ms, key=lambda event: event.recorded_ms)

    def of_kind(self, prefix: str, kinds: frozenset[str], seq: int) -> Iterator[Event]:
        """Latest events of entities under a prefix, where they are of one of these kinds."""
        for entity in self.entities(prefix, seq):
            event = self.last(entity, seq)
            if event is not None and event.kind in kinds:
                yield event
