"""An agent that was written from WIRE.md alone, and imports nothing of ours, is taken like one of ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.read import SeriesReader, open_reader
from collector.settings import load
from pue.contract.series import SeriesKey
from tests.support.plants import START_MS, FakeAgent, collector_toml, topology_of, write_topology
from tests.support.servers import broker, running, wait_until

pytestmark = pytest.mark.integration

COLLECTOR = Path(sys.executable).with_name("pue-collector")
OTHER = Path(__file__).parents[1] / "support" / "other_agent.py"
KEYS = [SeriesKey("km01", meter, "energy_import") for meter in ("main-a", "main-b")]
PROFILE = Path(__file__).parents[2] / "pue" / "profiles" / "eastron-sdm630.toml"


@pytest.fixture
def enrolled() -> FakeAgent:
    return FakeAgent(meters=("main-a", "main-b"))


@pytest.fixture
def port(tmp_path: Path, enrolled: FakeAgent) -> Iterator[int]:
    """A broker with a collector behind it."""
    write_topology(tmp_path / "topology.signed", topology_of([enrolled]))
    (tmp_path / "agent.key").write_text(enrolled.signer.to_text() + "\n")
    with broker("mosquitto", tmp_path) as (_, number):
        config = collector_toml(tmp_path, port=number)
        with running([COLLECTOR, "run", "--config", config], tmp_path / "collector.log") as collector:
            wait_until(lambda: "connected" in collector.log.read_text(), "the collector connects")
            yield number


@pytest.fixture
def reader(tmp_path: Path, port: int) -> Iterator[SeriesReader]:
    settings = load(tmp_path / "collector.toml")
    made = open_reader(settings.series, settings.collector.state_dir)
    yield made
    made.close()


def run(folder: Path, port: int, cycles: int, profile: Path = PROFILE) -> None:
    """One run of the other agent: it ends by itself once everything is settled."""
    options = {
        "host": "127.0.0.1", "port": port, "shard": "s0", "site": "km01", "agent": "km01-a1", "cycles": cycles,
        "key-file": folder / "agent.key", "state": folder / "state.json", "profile-file": profile, "profile": "p",
        "first-ms": START_MS,
    }  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    done = subprocess.run([sys.executable, OTHER, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_imports_nothing_of_ours() -> None:
    lines = OTHER.read_text().splitlines()
    imported = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert not {"agent", "collector", "compliance", "pue", "simulators", "tests"} & imported


def test_it_is_taken_with_its_parts_its_readings_and_events_and_goes_on_after_a_restart(
    tmp_path: Path, port: int, reader: SeriesReader
) -> None:
    run(tmp_path, port, cycles=5)
    run(tmp_path, port, cycles=4)
    wait_until(lambda: len(reader.readings(KEYS[0], 0, 1 << 62).t1_ms) == 9, "all readings are stored")
    main, other = (reader.readings(key, 0, 1 << 62) for key in KEYS)
    assert main.t1_ms.tolist() == [START_MS + 60_000 * cycle + 20 for cycle in range(9)]
    assert main.count.tolist() == [10 * cycle for cycle in range(9)]
    assert other.quality.tolist() == [int(cycle % 3 == 2) for cycle in range(9)]
    assert [count for count, quality in zip(other.count, other.quality, strict=True) if not quality] == [
        20 * cycle for cycle in range(9) if cycle % 3 != 2
    ]
    kinds = {incident.kind.value for incident in reader.incidents("km01")}
    assert kinds == {"unapproved_config", "clock_jump"}, "no broken chain, no conflict, no clone"


def test_a_changed_part_is_sent_with_a_new_manifest_and_no_other(
    tmp_path: Path, port: int, reader: SeriesReader
) -> None:
    run(tmp_path, port, cycles=2)
    changed = tmp_path / "changed.toml"
    changed.write_text(PROFILE.read_text() + "# another text\n")
    run(tmp_path, port, cycles=2, profile=changed)
    wait_until(lambda: len(reader.readings(KEYS[0], 0, 1 << 62).t1_ms) == 4, "all readings are stored")
    kinds = [reader.original("s0", number).line.split(b'"form":"')[1:2] for number in range(reader.positions()["s0"])]
    forms = [found[0].partition(b'"')[0].decode() for found in kinds if found]
    assert forms == ["profile", "link", "link", "manifest", "profile", "manifest"]
