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
        self._by_group: dict[str, list[str]] = {}

    def refresh(self) -> int:
        """Read what is new and return the log's head."""
        with self._lock:
            for event in self._log.read(len(self._events)):
                self._add(event)
            return len(self._events)

    def events(self, after: int, seq: int) -> list[Event]:
        """Events with `after` < seq <= `seq`."""
        return self._events[after:seq]

    def entities(self, group: str, seq: int) -> list[str]:
        """Names of a group that existed at `seq`, sorted; a group is `kind:` or `kind:facility/`."""
        return sorted(name for name in list(self._by_group.get(group, ())) if self._by_entity[name][0].seq <= seq)

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

    def _add(self, event: Event) -> None:
        is_new = event.entity not in self._by_entity
        self._by_entity.setdefault(event.entity, []).append(event)
        self._events.append(event)
        if is_new:  # last, so that readers without the lock find its history
            for group in _groups(event.entity):
                self._by_group.setdefault(group, []).append(event.entity)


def _groups(entity: str) -> set[str]:
    """`meter:km01/main` is in `meter:` and in `meter:km01/`."""
    kind, _, name = entity.partition(":")
    owner, slash, _ = name.partition("/")
    return {f"{kind}:", f"{kind}:{owner}/"} if slash else {f"{kind}:"}
