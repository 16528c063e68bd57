"""Commands say in one line what is wrong, where, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from collector.cli import app
from pue.contract.wire import Dropped, write_lines
from tests.support.plants import START_MS, FakeAgent, collector_toml, topology_of, write_topology


@pytest.fixture
def agent() -> FakeAgent:
    made = FakeAgent()
    made.configure()
    made.read([START_MS], [1])
    return made


@pytest.fixture
def config(tmp_path: Path, agent: FakeAgent) -> Path:
    write_topology(tmp_path / "topology.signed", topology_of([agent]))
    return collector_toml(tmp_path)


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_import_prints_counts_and_may_be_repeated(config: Path, agent: FakeAgent, tmp_path: Path) -> None:
    path = tmp_path / "a.batches"
    path.write_bytes(b"".join(write_lines(agent.batches)))
    done = call("import", path, "--config", config)
    assert done.exit_code == 0, done.output
    assert f"{path}: 2 batches kept, 0 known already, 0 refused, 0 incidents" in done.output
    assert "1 readings stored" in done.output
    assert "0 batches kept, 2 known already" in call("import", path, "--config", config).output


def test_refused_batches_are_named(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.batches"
    path.write_bytes(b"".join(write_lines([FakeAgent(agent="km99-a1").configure()])))
    done = call("import", path, "--config", config)
    assert "1 refused (1 unknown_agent)" in done.output
    assert "enrol it in compliance" in done.stderr


def test_incidents_are_listed(config: Path, agent: FakeAgent, tmp_path: Path) -> None:
    write_topology(tmp_path / "topology.signed", topology_of([agent], configs=[]))
    path = tmp_path / "a.batches"
    path.write_bytes(b"".join(write_lines(agent.batches)))
    call("import", path, "--config", config)
    assert "unapproved_config x1 km01 km01-a1: configuration" in call("incidents", "--config", config).output


def test_every_number_that_is_not_kept_is_listed_with_its_reason(
    config: Path, agent: FakeAgent, tmp_path: Path
) -> None:
    agent.read([START_MS + 1000], [2])
    agent.event(Dropped(epoch=agent.epoch, from_seq=7, to_seq=9, reason="disk full"))
    path = tmp_path / "a.batches"
    stranger = FakeAgent(site="km02", signer=agent.signer, epoch=agent.epoch, seq=4)
    path.write_bytes(b"".join(write_lines([agent.batches[0], *agent.batches[2:], stranger.configure()])))
    call("import", path, "--config", config)
    name = f"km01-a1/{agent.epoch}"
    lines = call("gaps", "--config", config).output.splitlines()
    assert lines == [
        f"{name}/2..2 missing: not sent yet, or in quarantine without proof of who sent it",
        f"{name}/5..5 refused: wrong_site",
        f"{name}/6..6 missing: not sent yet, or in quarantine without proof of who sent it",
        f"{name}/7..9 declared lost by the agent: disk full",
        "3 batches kept, 4 gaps",
    ]
    assert call("gaps", "--agent", "km02-a1", "--config", config).output == "0 batches kept, 0 gaps\n"


def test_what_is_in_quarantine_is_listed_and_shown(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.batches"
    stranger = FakeAgent(agent="km99-a1").configure()
    path.write_bytes(b"".join(write_lines([stranger])))
    for _ in range(2):
        call("import", path, "--config", config)
    (line,) = call("quarantine", "list", "--config", config).output.splitlines()
    assert line.startswith("1 unknown_agent x2 20")
    assert "agent 'km99-a1' is not in topology version 1" in line
    assert call("quarantine", "show", "1", "--config", config).output == stranger.line.decode() + "\n"
    done = call("quarantine", "show", "7", "--config", config)
    assert (done.exit_code, "no message 7 is in quarantine" in done.stderr) == (2, True)


def test_rebuild_readmit_and_export_work_on_what_is_kept(config: Path, agent: FakeAgent, tmp_path: Path) -> None:
    path, out = tmp_path / "a.batches", tmp_path / "out.batches.gz"
    path.write_bytes(b"".join(write_lines(agent.batches)))
    call("import", path, "--config", config)
    assert "1 readings stored" in call("rebuild", "--config", config).output
    assert "0 batches kept" in call("readmit", "--config", config).output
    assert "2 batches of shard s0" in call("export", "--config", config, "--shard", "s0", "--out", out).output


def test_check_connects_to_nothing_and_says_what_it_found(config: Path) -> None:
    done = call("check", "--config", config)
    assert done.exit_code == 0
    assert "topology version 1" in done.output


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("[mqtt]", "[mqtt]\ncolour = 1", "collector.toml:8 mqtt.colour: unknown key"),
        ("[mqtt]\n", "[mqtt\n", "not TOML"),
        ('shards = ["s0"]', "shards = []", "collector.shards"),
        ('store = "sqlite"', 'store = "influxdb"', "needs url"),
        ('store = "sqlite"', 'store = "oracle"', "series.store"),
        ('issuer_key = "', 'issuer_key = "x', "topology.issuer_key"),
        ("port = 1", "port = 0", "mqtt.port"),
    ],
)
def test_a_wrong_setting_is_named_by_file_line_and_field(config: Path, before: str, after: str, words: str) -> None:
    text = config.read_text()
    assert before in text
    config.write_text(text.replace(before, after))
    done = call("check", "--config", config)
    assert done.exit_code == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("check", "--config", "nowhere.toml"), "nowhere.toml: cannot be read"),
        (("incidents", "--config", "CONFIG"), "not there yet; start `pue-collector run`"),
        (("import", "nowhere.batches", "--config", "CONFIG"), "nowhere.batches"),
        (("export", "--config", "CONFIG", "--shard", "s0", "--out", "x"), "not there yet"),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(config: Path, words: tuple[str, ...], said: str) -> None:
    done = call(*(str(config) if word == "CONFIG" else word for word in words))
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_import_without_a_topology_says_who_writes_it(config: Path, tmp_path: Path) -> None:
    (tmp_path / "topology.signed").unlink()
    done = call("import", tmp_path / "a.batches", "--config", config)
    assert done.exit_code == 2
    assert "pue-compliance topology" in done.stderr
