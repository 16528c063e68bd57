"""Reading the past: every as-of question against a plain search through all events."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.answers import Answers
from compliance.app import Service
from compliance.evaluate import FINDING
from compliance.log import Draft
from compliance.queries import LOOPBACK
from compliance.registry import import_registry
from compliance.registry_file import read_registry
from tests.unit.compliance.made import MadeReader, facility_toml, made_service, registry_toml

NAMES = ("km01", "qj01")
OUTCOMES = ("compliant", "non_compliant", "insufficient_data")


def body(rule: str, as_of_ms: int, outcome: str) -> dict[str, object]:
    columns = dict.fromkeys(("from_ms", "to_ms", "pue", "pue_lower", "pue_upper", "u_pue", "p_within", "coverage"))
    return {
        **columns, "facility": "", "rule": rule, "rule_version": "1", "profile": "p", "kind": "limit",
        "status": "draft", "consequence": "c", "outcome": outcome, "reasons": [], "binding": False, "period": "ttm",
        "limit": "1.30",
        "comparator": "<=", "total_j": None, "it_j": None, "simple_outcome": None, "guarded_outcome": None,
        "decision": "simple", "as_of_ms": as_of_ms, "since": "2026-01-01", "registry_seq": 1, "positions": {},
        "topology_version": 1, "package_version": "0", "evidence_hash": "0" * 64,
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


rows = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(["a", "b"]),
        st.integers(0, 6),
        st.sampled_from(OUTCOMES),
        st.integers(0, 3),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(rows, st.integers(-1, 7), st.integers(-1, 80))
def test_the_finding_in_force_is_the_one_a_search_through_all_events_finds(
    folder: Path, history: list[tuple[str, str, int, str, int]], valid_s: int, known_s: int
) -> None:
    clock = [1_000]
    service = fresh(folder, clock)
    said: list[tuple[int, str, str, int, str, int]] = []
    for name, rule, as_of_s, outcome, pause_s in history:
        clock[0] += pause_s * 1_000
        draft = Draft(FINDING, f"finding:{name}/p/{rule}", body(rule, as_of_s * 1_000, outcome))
        event = service.log.append([draft])[0]
        said.append((event.seq, name, rule, as_of_s, outcome, clock[0]))
    valid_at, known_at = (datetime.fromtimestamp(s, UTC) for s in (valid_s, max(known_s, 1)))
    answers = Answers(service.sources, LOOPBACK)
    for name in NAMES:
        found = {one.rule: (one.seq, one.outcome) for one in answers.findings(name, valid_at, known_at)}
        assert found == search(said, name, valid_s, max(known_s, 1) * 1_000)
    table = answers.region_compliance("53", valid_at, known_at)
    assert sum(table.counts.values()) == len(NAMES)
    service.close()


def search(
    said: list[tuple[int, str, str, int, str, int]], name: str, valid_s: int, known_ms: int
) -> dict[str, tuple[int, str]]:
    found: dict[str, tuple[int, int, str]] = {}
    for seq, facility, rule, as_of_s, outcome, recorded_ms in said:
        if facility == name and as_of_s <= valid_s and recorded_ms <= known_ms:
            found[rule] = max(found.get(rule, (-1, -1, "")), (as_of_s, seq, outcome))
    return {rule: (seq, outcome) for rule, (_, seq, outcome) in found.items()}


def fresh(folder: Path, clock: list[int]) -> Service:
    for old in folder.glob("registry.sqlite*"):
        old.unlink()
    service = made_service(folder, MadeReader(0), clock_ms=lambda: clock[0])
    text = registry_toml(facility_toml("km01"), facility_toml("qj01", region="530300"))
    import_registry(service.log, service.projection, read_registry(text, "registry.toml"), "test")
    return service
