"""The event log on a real PostgreSQL, started for these tests."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from compliance.evaluate import FINDING
from compliance.log import Draft, EventLog
from compliance.registry import import_registry
from compliance.registry_file import read_registry
from tests.unit.compliance.log_contract import LogContract, Make, draft, engine_of
from tests.unit.compliance.made import made_reader, made_service, registry_toml

pytestmark = pytest.mark.integration
USER = "postgres"


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    on_path = shutil.which("pg_ctl")
    if not found and on_path is None:
        pytest.skip("PostgreSQL's pg_ctl is not installed (apt install postgresql)")
    return (found[-1] if found else Path(str(on_path))).parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _as_server(command: list[str], folder: Path) -> None:
    """Run as user postgres when we are root: the server refuses to run as root."""
    user = USER if os.geteuid() == 0 else None
    subprocess.run(command, check=True, cwd=folder, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    binaries, folder = _binaries(), Path(tempfile.mkdtemp(prefix="pue-postgres-"))
    if os.geteuid() == 0:
        try:
            account = pwd.getpwnam(USER)
        except KeyError:
            pytest.skip("there is no user postgres to run the server as")
        os.chown(folder, account.pw_uid, account.pw_gid)
    data, port = folder / "data", _free_port()
    _as_server([str(binaries / "initdb"), "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8"], folder)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
    control = [str(binaries / "pg_ctl"), "-D", str(data), "-w"]
    _as_server([*control, "-o", options, "-l", str(folder / "log"), "start"], folder)
    try:
        yield f"postgresql+psycopg://{USER}@127.0.0.1:{port}"
    finally:
        _as_server([*control, "-m", "immediate", "stop"], folder)
        shutil.rmtree(folder)


@pytest.fixture
def database(server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of this test's own."""
    name = f"t{abs(hash(request.node.name))}"
    engine = sa.create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield f"{server}/{name}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


@pytest.fixture
def make_log(database: str) -> Iterator[Make]:
    opened: list[EventLog] = []

    def make(*clock: object) -> EventLog:
        opened.append(EventLog(database, *clock))  # type: ignore[arg-type]  # a clock
        return opened[-1]

    yield make
    for log in opened:
        log.close()


class TestPostgres(LogContract):
    """The contract on PostgreSQL."""

    def test_truncate_is_refused(self, make_log: Make) -> None:
        log = make_log()
        log.append([draft()])
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine_of(log).begin() as connection:
            connection.exec_driver_sql("TRUNCATE events")
        assert log.verify() == 1


def test_the_same_history_gives_the_same_events_as_on_sqlite(database: str, tmp_path: Path) -> None:
    def run(folder: Path, url: str) -> list[Draft]:
        folder.mkdir()
        service = made_service(folder, made_reader(lambda day: 1.25 if day < 300 else 1.35, 400), url)
        import_registry(service.log, service.projection, read_registry(registry_toml(), "registry.toml"), "test")
        service.evaluate()
        events = service.log.read()
        service.close()
        return [Draft(event.kind, event.entity, event.body) for event in events if event.kind != "topology_issued"]

    on_postgres = run(tmp_path / "a", database)
    assert on_postgres == run(tmp_path / "b", "")
    assert sum(one.kind == FINDING for one in on_postgres) > 20
