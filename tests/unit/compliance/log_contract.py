"""What every database behind the event log has to do; run against SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest
import sqlalchemy as sa

from compliance.log import BrokenChain, Conflict, Draft, Event, EventLog
from pue.contract.canonical import ZERO_HASH
from pue.contract.errors import Fatal

Make = Callable[..., EventLog]


def draft(number: int = 0, entity: str = "facility:km01") -> Draft:
    return Draft("facility_recorded", entity, {"name": "昆明一号", "number": number, "pue": "1.250000"})


class LogContract:
    """Tests; `make_log` opens the log, again on the same database when called again."""

    def test_an_empty_log_has_head_zero(self, make_log: Make) -> None:
        assert make_log().head() == (0, ZERO_HASH)

    def test_events_are_numbered_from_one_and_chained(self, make_log: Make) -> None:
        log = make_log()
        events = log.append([draft(1), draft(2)]) + log.append([draft(3)])
        assert [event.seq for event in events] == [1, 2, 3]
        assert [event.prev for event in events] == [ZERO_HASH, events[0].hash, events[1].hash]
        assert log.verify() == 3

    def test_what_is_read_equals_what_was_written(self, make_log: Make) -> None:
        log = make_log()
        written = log.append([draft(number) for number in range(5)])
        assert log.read() == written
        assert log.read(after=3) == written[3:]
        assert log.read(after=1, limit=2) == written[1:3]

    def test_nothing_to_write_writes_nothing(self, make_log: Make) -> None:
        log = make_log()
        assert log.append([]) == []
        assert log.head()[0] == 0

    def test_recorded_time_never_moves_backwards(self, make_log: Make) -> None:
        times = iter([1_000, 500, 2_000])
        log = make_log(lambda: next(times))
        recorded = [log.append([draft()])[0].recorded_ms for _ in range(3)]
        assert recorded == [1_000, 1_000, 2_000]

    def test_a_second_opening_continues_the_chain(self, make_log: Make) -> None:
        make_log().append([draft(1)])
        log = make_log()
        assert log.append([draft(2)])[0].seq == 2
        assert log.verify() == 2

    def test_a_decision_on_an_old_state_is_refused_and_writes_nothing(self, make_log: Make) -> None:
        log = make_log()
        log.append([draft(1)], {"facility:km01": 0})
        with pytest.raises(Conflict, match="facility:km01 moved on from event 0 to 1"):
            log.append([draft(2)], {"facility:km01": 0})
        assert log.head()[0] == 1

    def test_a_float_in_a_body_is_refused(self, make_log: Make) -> None:
        log = make_log()
        with pytest.raises(Fatal, match="write it as text"):
            log.append([Draft("finding_recorded", "finding:x", {"pue": 1.25})])
        assert log.head()[0] == 0

    @pytest.mark.parametrize(
        "statement", ["UPDATE events SET kind = 'x'", "DELETE FROM events", "UPDATE documents SET line = signature"]
    )
    def test_the_database_refuses_to_change_what_was_written(self, make_log: Make, statement: str) -> None:
        log = make_log()
        log.append([draft()])
        log.store_document("0" * 64, b"line", b"signature")
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine_of(log).begin() as connection:
            connection.exec_driver_sql(statement)
        assert log.verify() == 1

    def test_a_document_is_kept_once_and_given_back(self, make_log: Make) -> None:
        log = make_log()
        for _ in range(2):
            log.store_document("a" * 64, b"line", b"signature")
        assert log.document("a" * 64) == (b"line", b"signature")
        assert log.document("b" * 64) is None

    def test_writers_at_once_leave_no_hole_and_readers_miss_nothing(self, make_log: Make) -> None:
        logs = [make_log() for _ in range(4)]
        seen: list[Event] = []
        threads = [threading.Thread(target=_write, args=(log, number)) for number, log in enumerate(logs)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            seen += logs[0].read(after=len(seen))
        seen += logs[0].read(after=len(seen))
        assert [event.seq for event in seen] == list(range(1, 81))
        assert logs[0].verify() == 80


def _write(log: EventLog, writer: int) -> None:
    for number in range(10):
        log.append([draft(number, f"facility:w{writer}")] * 2)


def engine_of(log: EventLog) -> sa.Engine:
    engine: sa.Engine = log._engine
    return engine


def tamper(log: EventLog, statements: Sequence[str]) -> None:
    """What an administrator could do with the triggers taken away (SQLite)."""
    with engine_of(log).begin() as connection:
        for action in ("update", "delete"):
            connection.exec_driver_sql(f"DROP TRIGGER events_no_{action}")
        for statement in statements:
            connection.exec_driver_sql(statement)


__all__ = ["BrokenChain", "LogContract", "Make", "draft", "engine_of", "tamper"]
