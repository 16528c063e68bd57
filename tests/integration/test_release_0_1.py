"""An installation of release 0.1 is taken over: series by `rebuild`, ledger, topology and registry as they are."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from collector import cli as collector_cli
from collector.ledger import LedgerReader
from collector.read import SeriesReader, SeriesSettings, open_reader
from collector.settings import load as load_collector
from collector.topology import TopologyFile
from compliance.answers import Answers
from compliance.app import Service
from compliance.queries import LOOPBACK
from compliance.registry import Registry
from compliance.settings import load as load_compliance
from pue.contract.errors import Fatal
from pue.contract.quality import Flag
from pue.contract.series import SLOT_MS, SeriesKey
from pue.contract.wire import decode_batch
from pue.energy.slots import Int64
from tests.support.ledgers import whole

pytestmark = pytest.mark.integration

GOLDEN = Path(__file__).parents[1] / "golden/release-0.1"
COLUMNS = ("start_ms", "energy_j", "unknown_j", "gap_ms", "below_j", "above_j", "flags", "revision", "topology")
ALWAYS = (0, 1 << 62)
REMEDY = "state/series.sqlite has version 0, this program keeps series in version 2; run `pue-collector rebuild`"
EVENTS, RECORDS = 57, 147
"""What its log and its ledger hold."""

# Where today's energies are others on purpose

SLOW_REPLY = {SeriesKey("km82", "it-b", "energy_import"): (1756778400000, 1756779300000)}
"""Slots beside a reply that took 75 s."""
COARSE = {SeriesKey("km81", "it", "energy_import"): 400 * 3_600_000}
"""A step of more than the maximum power gives in 15 minutes: the slot before has its share of it now. [J]"""

TRUE_AUGUST_PUE = (Fraction("1.4199"), Fraction("1.42"))
"""Of km81 in August 2025, by the load that was made up; the last quarter of an hour had less."""


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files as release 0.1 left them, in the current folder."""
    unpack(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after `pue-collector rebuild`; not to be written to."""
    folder = tmp_path_factory.mktemp("rebuilt")
    unpack(folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        done = collector("rebuild")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def upgraded(rebuilt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the rebuilt installation, in the current folder."""
    folder = tmp_path / "upgraded"
    shutil.copytree(rebuilt, folder)
    monkeypatch.chdir(folder)
    return folder


def unpack(folder: Path) -> None:
    with tarfile.open(GOLDEN / "installation.tar.xz") as archive:
        archive.extractall(folder, filter="data")


def collector(*words: str | Path) -> Result:
    return CliRunner().invoke(collector_cli.app, [*map(str, words), "--config", "collector.toml"])


@contextmanager
def reading() -> Iterator[SeriesReader]:
    with closing(open_reader(SeriesSettings(path=Path("state/series.sqlite")), Path("state/collector"))) as reader:
        yield reader


@contextmanager
def serving() -> Iterator[Service]:
    with closing(Service(load_compliance(Path("compliance.toml")))) as service:
        yield service


def said(name: str) -> Any:
    return json.loads((GOLDEN / "said" / f"{name}.json").read_text(encoding="utf-8"))


def said_slots() -> dict[SeriesKey, dict[str, Int64]]:
    with np.load(GOLDEN / "slots.npz") as file:
        return {
            SeriesKey(*name.split("|")): dict(zip(COLUMNS, np.cumsum(file[name], axis=1), strict=True))
            for name in file.files
        }


# Series


@pytest.mark.parametrize("words", [("run",), ("check",), ("readmit",), ("import", GOLDEN / "more.batches.gz")])
def test_the_collector_refuses_the_old_series_and_names_the_remedy(
    installation: Path, words: tuple[str | Path, ...]
) -> None:
    before = {path: path.read_bytes() for path in installation.rglob("*.seg")}
    done = collector(*words)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"pue-collector: {REMEDY}")
    assert done.stderr.count("\n") == 1
    assert {path: path.read_bytes() for path in installation.rglob("*.seg")} == before


@pytest.mark.usefixtures("installation")
def test_compliance_refuses_the_old_series_writes_nothing_and_goes_on_after_the_rebuild() -> None:
    with reading() as reader, pytest.raises(Fatal, match=REMEDY):
        reader.slots(SeriesKey("km81", "main", "energy_import"), *ALWAYS)
    with serving() as service:
        service.evaluate()
        assert service.log.head()[0] == EVENTS
        assert [REMEDY in text for text in service.missing()] == [True, True]
        assert collector("rebuild").exit_code == 0
        service.evaluate()
        assert service.missing() == ()


@pytest.mark.usefixtures("upgraded")
def test_a_rebuild_gives_the_energies_that_the_first_release_stored() -> None:
    with reading() as reader:
        for key, old in said_slots().items():
            new = reader.slots(key, *ALWAYS)
            assert new.start_ms.tolist() == old["start_ms"].tolist(), key
            same = ~np.isin(new.start_ms, list(SLOW_REPLY.get(key, ())))
            assert (new.gap_ms[same] == old["gap_ms"][same]).all(), key
            if key not in COARSE:
                assert (new.energy_j[same] == old["energy_j"][same]).all(), key


@pytest.mark.usefixtures("upgraded")
def test_a_slow_reply_is_set_aside_now_and_its_energy_is_shared_between_the_readings_around_it() -> None:
    ((key, starts),) = SLOW_REPLY.items()
    with reading() as reader:
        new, old = reader.slots(key, min(starts), max(starts) + 1), said_slots()[key]
    there = np.isin(old["start_ms"], list(starts))
    assert new.energy_j.sum() == old["energy_j"][there].sum()
    assert (new.gap_ms > old["gap_ms"][there]).all()
    assert [bool(flags & Flag.SLOW) for flags in new.flags.tolist()] == [True, False]


@pytest.mark.usefixtures("upgraded")
def test_a_coarse_step_is_spread_as_the_maximum_power_allows_and_no_energy_is_lost() -> None:
    ((key, step_j),) = COARSE.items()
    with reading() as reader:
        new, old = reader.slots(key, *ALWAYS), said_slots()[key]
    moved = np.cumsum(new.energy_j) - np.cumsum(old["energy_j"])
    assert np.abs(moved).max() < step_j
    assert moved[-1] == 0
    assert new.energy_j.max() <= 1_200_000 * SLOT_MS // 1000 < old["energy_j"].max()


@pytest.mark.usefixtures("upgraded")
def test_bounds_that_left_the_truth_outside_hold_it_now() -> None:
    old = said("pue-km81-month")
    assert Fraction(old["pue_lower"]) > TRUE_AUGUST_PUE[1]
    with serving() as service:
        new = Answers(service.sources, LOOPBACK).pue("km81", "month")
    assert new is not None
    assert (new.from_ms, new.to_ms) == (old["from_ms"], old["to_ms"])
    assert Fraction(str(new.pue_lower)) <= TRUE_AUGUST_PUE[0] < TRUE_AUGUST_PUE[1] <= Fraction(str(new.pue_upper))


@pytest.mark.usefixtures("upgraded")
def test_a_collector_with_rebuilt_series_takes_what_comes_next() -> None:
    assert collector("check").exit_code == 0
    done = collector("import", GOLDEN / "more.batches.gz")
    assert "6 batches kept, 0 known already, 0 refused, 0 incidents" in done.output


# Ledger and topology


@pytest.mark.usefixtures("installation")
def test_every_original_of_the_old_ledger_is_read_and_its_signature_holds() -> None:
    settings = load_collector(Path("collector.toml"))
    mine = settings.collector
    topology = TopologyFile(settings.topology.file, settings.topology.issuer_key, mine.state_dir / "topology")
    enrolled = topology.load()
    assert enrolled is not None
    records = whole(LedgerReader(mine.state_dir / "ledger/s0").records(0, RECORDS))
    assert len(records) == RECORDS
    for record in records:
        batch = decode_batch(record.signed.line)
        _, verifier = enrolled.keys[batch.agent, batch.key]
        verifier.check(record.signed.line, record.signed.signature)


@pytest.mark.usefixtures("installation")
def test_every_old_topology_document_is_read() -> None:
    settings = load_collector(Path("collector.toml"))
    versions = []
    for number, path in enumerate([settings.topology.file, *sorted(Path("state/collector/topology").iterdir())]):
        file = TopologyFile(path, settings.topology.issuer_key, Path(f"kept-{number}"))
        enrolled = file.load()
        assert enrolled is not None, file.problem
        versions.append(enrolled.version)
    assert versions == [3, 1, 3]


# Registry


@pytest.mark.usefixtures("upgraded")
def test_the_old_log_verifies_and_its_findings_are_served() -> None:
    with serving() as service:
        assert service.log.verify() == EVENTS
        answers = Answers(service.sources, LOOPBACK)
        for facility in ("km81", "km82"):
            found = {one.rule: one for one in answers.findings(facility)}
            for old in said(f"findings-{facility}"):
                new = found.pop(old["rule"])
                for name in ("outcome", "reasons", "pue", "coverage", "as_of_ms", "since", "seq", "evidence_hash"):
                    assert plain(getattr(new, name)) == old[name], (facility, old["rule"], name)
            assert not found
        for alert, was in zip(answers.alerts(), said("alerts")["items"], strict=True):
            for name in ("id", "kind", "raised_ms", "cleared_ms", "value", "limit", "rule", "seq"):
                assert plain(getattr(alert, name)) == was[name], (alert.id, name)


@pytest.mark.usefixtures("upgraded")
def test_closed_periods_keep_their_finding_and_what_was_assumed_is_said_now() -> None:
    with serving() as service:
        found = {event.body["rule"]: event.body for event in service.evaluate() if event.kind == "finding_recorded"}
    assert {rule for rule, body in found.items() if body["period"] is not None} == set()
    assert found["no_preferential_policy"]["outcome"] == "insufficient_data"
    assert "incentives_unknown" in found["no_preferential_policy"]["reasons"]


@pytest.mark.usefixtures("upgraded")
def test_the_old_log_goes_on_with_new_findings_and_nothing_in_it_changes() -> None:
    collector("import", GOLDEN / "more.batches.gz")
    with serving() as service:
        before = service.log.read()
        events = service.evaluate()
        assert service.log.read()[:EVENTS] == before
        assert service.log.verify() == EVENTS + len(events)
        judged = {
            (event.body["rule"], event.body["from_ms"], event.body["to_ms"])
            for event in events
            if event.entity.startswith("finding:km81/")
        }
        september = (1727712000000, 1759248000000)
        assert {("new_build_pue_max", *september), ("retrofit_pue_over", *september)} <= judged
        assert service.evaluate() == []


@pytest.mark.usefixtures("installation")
def test_meters_are_what_their_old_events_say_classes_included() -> None:
    with serving() as service:
        registry, seq = Registry(service.projection), service.projection.refresh()
        classes = {}
        for name in ("km81", "km82"):
            facility = registry.facility(name, seq)
            assert facility is not None
            for meter in facility.meters:
                classes[name, meter.id] = [
                    (one.serial, one.meter_class, one.ct_class, str(one.certificate_to)) for one in meter.version
                ]
    assert classes["km81", "main"] == [("M-1", "0.2S", "0.2S", "2027-06-30")]
    assert classes["km82", "it-a"] == [("IA-1", "0.5S", "0.5", "None"), ("IA-2", "0.2S", "0.2S", "2027-06-30")]
    assert classes["km82", "main-a"] == [("MA-1", "0.5S", "0.5", "None")]


def plain(value: object) -> object:
    """As JSON has it."""
    return list(value) if isinstance(value, tuple) else value if isinstance(value, int | None) else str(value)
