"""The state directory: only ever the demo's own, and settings that say what the simulation does."""

from __future__ import annotations

import socket
import tomllib
from pathlib import Path

import pytest

from pue.contract.errors import Fatal
from simulators.scenario import instant_ms, read_simulation, sites
from simulators.state import Store, check_port, choose_ports, prepare, write_files

SITES = sites(5, instant_ms("2026-11-17T10:00:00+08:00"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("state")
    prepare(state)
    write_files(state, SITES, choose_ports(0, SITES), Store("influxdb", "http://127.0.0.1:9"), 5)
    return state


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="ascii")
    with pytest.raises(Fatal, match="not from a demo"):
        prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_demos_own_folder_is_emptied(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "state/series.sqlite").touch()
    prepare(tmp_path)
    assert list((tmp_path / "state").iterdir()) == []


def test_keys_are_for_the_owner_only(folder: Path) -> None:
    keys = list((folder / "keys").iterdir())
    assert len(keys) == 1 + len(SITES)
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}


def test_the_simulation_reads_back_the_same(folder: Path) -> None:
    simulation = read_simulation(folder)
    assert [site.live_epoch for site in simulation.sites] == [site.live_epoch for site in SITES]
    assert list(simulation.ports["hh01"]) == list(SITES[-1].links)


def test_every_meter_is_configured_as_it_is_registered(folder: Path) -> None:
    registry = tomllib.loads((folder / "registry.toml").read_text("utf-8"))
    for facility in registry["facility"]:
        agent = tomllib.loads((folder / f"agents/{facility['id']}.toml").read_text("utf-8"))
        installed = {meter["id"]: meter["version"][0] for meter in facility["meter"]}
        for meter in agent["meter"]:
            version = installed.pop(meter["id"])
            assert {key: meter[key] for key in ("serial", "profile", "ct", "pt")} == {
                key: version[key] for key in ("serial", "profile", "ct", "pt")
            }
        assert not installed


def test_both_readers_of_the_series_are_told_the_same_store(folder: Path) -> None:
    collector, compliance = (
        tomllib.loads((folder / f"{name}.toml").read_text("utf-8"))["series"] for name in ("collector", "compliance")
    )
    assert compliance.pop("state_dir") == "state/collector"
    assert collector == compliance == {"store": "influxdb", "url": "http://127.0.0.1:9", "org": "pue", "bucket": "pue"}


def test_a_console_port_in_use_is_named_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Fatal, match=rf"console port {port}: .*--port"):
            check_port(port)


def test_all_ports_differ() -> None:
    ports = choose_ports(0, SITES)
    every = [
        ports.broker,
        *ports.metrics.values(),
        *(port for links in ports.meters.values() for port in links.values()),
    ]
    assert len(set(every)) == len(every) == 1 + 6 + sum(len(site.links) for site in SITES)


def test_unknown_keys_in_the_simulations_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "simulation.toml").write_text('seed = 1\nuntil = "2026-01-01T00:00:00Z"\nspeed = 9\n[ports]\n', "utf-8")
    with pytest.raises(Fatal, match=r"simulation.toml:3 speed: unknown key"):
        read_simulation(tmp_path)
