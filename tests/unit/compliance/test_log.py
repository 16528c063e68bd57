from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.util import CommandError

from compliance.log import EventLog
from pue.contract.errors import Fatal, Retry
from tests.support.left_open import nothing_left_open
from tests.unit.compliance.log_contract import BrokenChain, LogContract, Make, draft, tamper


@pytest.fixture
def make_log(tmp_path: Path) -> Iterator[Make]:
    opened: list[EventLog] = []

    def make(*clock: object) -> EventLog:
        opened.append(EventLog(f"sqlite:///{tmp_path}/registry.sqlite", *clock))  # type: ignore[arg-type]  # a clock
        return opened[-1]

    yield make
    for log in opened:
        log.close()


class TestSqlite(LogContract):
    """The contract on SQLite."""


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE events SET body = replace(body, '1.25', '1.20') WHERE seq = 2", "event 2 was changed"),
        ("UPDATE events SET actor = 'nobody' WHERE seq = 3", "event 3 was changed"),
        ("UPDATE events SET recorded_ms = recorded_ms + 1 WHERE seq = 1", "event 1 was changed"),
        ("DELETE FROM events WHERE seq = 2", "event 2 is missing"),
        ("DELETE FROM events WHERE seq = 1", "event 1 is missing"),
    ],
)
def test_verify_names_the_first_event_that_is_not_as_written(make_log: Make, statement: str, message: str) -> None:
    log = make_log()
    log.append([draft(number) for number in range(4)])
    tamper(log, [statement])
    with pytest.raises(BrokenChain, match=message):
        log.verify()


def test_a_rehashed_event_breaks_the_link_behind_it(make_log: Make) -> None:
    log = make_log()
    log.append([draft(1), draft(2)])
    first = log.read()[0]
    forged = type(first)(first.seq, first.recorded_ms, "forged", first.entity, first.actor, first.body, first.prev)
    tamper(log, [f"UPDATE events SET kind = 'forged', hash = '{forged.computed_hash()}' WHERE seq = 1"])
    with pytest.raises(BrokenChain, match="event 2 was changed"):
        log.verify()


@pytest.mark.parametrize("url", ["nonsense", "oracle+nothing://x", "postgresql+nodriver://u:secret@h/n"])
def test_an_address_that_is_none_is_named_without_its_password(url: str) -> None:
    with pytest.raises(Fatal, match="use sqlite:///FILE or postgresql") as error:
        EventLog(url)
    assert "secret" not in str(error.value)


def test_a_database_that_does_not_answer_is_a_retry_without_its_password() -> None:
    with pytest.raises(Retry, match="check that it runs") as error:
        EventLog("postgresql+psycopg://u:secret@127.0.0.1:1/n?connect_timeout=1")
    assert "secret" not in str(error.value)


def test_a_database_of_another_version_is_let_go_of(tmp_path: Path, make_log: Make) -> None:
    tamper(make_log(), ["UPDATE alembic_version SET version_num = 'another'"])
    with nothing_left_open(), pytest.raises(CommandError, match="another"):
        EventLog(f"sqlite:///{tmp_path}/registry.sqlite")
