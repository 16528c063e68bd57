from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compliance.log import EventLog
from compliance.projection import Projection
from compliance.registry import approve_config, import_registry, release_batches
from compliance.registry_file import read_registry
from compliance.topology import KEY_OVERLAP_MS, Content, TopologyOffice
from pue.contract.canonical import ZERO_HASH, sha256_hex
from pue.contract.errors import Fatal, Reject
from pue.contract.signing import Signer
from pue.contract.topology import Agent, Release, Topology, open_topology
from pue.contract.wire import SignedLine
from tests.unit.compliance.made import KEY, at, registry_toml

NOW_MS = 1_000_000


class Place:
    """A registry with its topology office and the file it writes."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "state" / "topology.signed"
        self.log = EventLog(f"sqlite:///{folder}/registry.sqlite", lambda: NOW_MS)
        self.projection = Projection(self.log)
        self.office = TopologyOffice(self.log, self.projection, "yunnan", KEY, self.file, lambda: NOW_MS)

    def load(self, text: str) -> Topology:
        import_registry(self.log, self.projection, read_registry(text, "registry.toml"), "test")
        return self.office.issue()

    def written(self) -> tuple[Topology, SignedLine]:
        line, signature = self.file.read_bytes().split(b"\n")
        signed = SignedLine(line, signature)
        return open_topology(signed, KEY.verifier), signed


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    one = Place(tmp_path)
    yield one
    one.log.close()


def test_the_file_holds_what_was_issued_signed_by_our_key(place: Place) -> None:
    issued = place.load(registry_toml())
    written, signed = place.written()
    assert written == issued
    assert (issued.version, issued.prev, issued.issued_ms, issued.issuer) == (1, ZERO_HASH, NOW_MS, "yunnan")
    assert [(meter.meter, meter.versions[0].serial) for meter in issued.meters] == [
        ("it", "SN-it"),
        ("main", "SN-main"),
    ]
    assert [(agent.agent, agent.site, agent.shard) for agent in issued.agents] == [("km01-a1", "km01", "s0")]
    assert place.log.read()[-1].body["sha256"] == sha256_hex(signed.line)


def test_weights_stay_out_of_the_document(place: Place) -> None:
    before = place.load(registry_toml())
    assert place.load(registry_toml().replace('b = "1"', 'b = "1/2"')) == before
    assert b'"a":' not in place.file.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("SN-it", "SN-other"),
        lambda text: text.replace("modulus = 0", "modulus = 4294967296"),
        lambda text: text.replace('shard = "s0"', f'shard = "s0"\nconfigs = ["{"c" * 64}"]'),
    ],
)
def test_a_change_that_collectors_must_know_is_a_new_version_chained_to_the_last(
    place: Place, change: Callable[[str], str]
) -> None:
    place.load(registry_toml())
    _, first = place.written()
    second = place.load(change(registry_toml()))
    assert (second.version, second.prev) == (2, first.sha256)


def test_issuing_again_without_a_change_is_the_same_version(place: Place) -> None:
    issued = place.load(registry_toml())
    seq = place.log.head()[0]
    assert place.office.issue() == issued
    assert place.log.head()[0] == seq


def test_a_lost_file_is_written_again_as_it_was(place: Place) -> None:
    place.load(registry_toml())
    content = place.file.read_bytes()
    place.file.unlink()
    place.office.issue()
    assert place.file.read_bytes() == content


def test_an_approved_configuration_enters_the_document(place: Place) -> None:
    place.load(registry_toml())
    approve_config(place.log, place.projection, "d" * 64, "operator")
    assert place.office.issue().configs == ["d" * 64]


def test_a_former_key_stays_good_for_a_day_after_a_new_one(place: Place) -> None:
    place.load(registry_toml())
    old, other = KEY.verifier, Signer.generate().verifier
    keys = place.load(registry_toml().replace(old.to_text(), other.to_text())).agents[0].keys
    assert [(key.public, key.from_ms, key.to_ms) for key in keys] == [
        (old.to_text(), 0, NOW_MS + KEY_OVERLAP_MS),
        (other.to_text(), 0, None),
    ]


def test_a_key_ends_when_the_registry_says_and_not_when_it_was_told(place: Place) -> None:
    """History that is imported and a rotation that was recorded late are judged alike."""
    place.load(registry_toml())
    old, other = KEY.verifier.to_text(), Signer.generate().verifier.to_text()
    stated = f'{other}"\nkey_from = 2026-02-01T00:00:00+08:00'
    keys = place.load(registry_toml().replace(f'{old}"', stated)).agents[0].keys
    turn = at("2026-02-01T00:00")
    assert [(key.public, key.from_ms, key.to_ms, key.ended) for key in keys] == [
        (old, 0, turn, "rotated"),
        (other, turn, None, "rotated"),
    ]


def test_a_compromised_key_ends_at_once_and_says_so(place: Place) -> None:
    place.load(registry_toml())
    old, other = KEY.verifier.to_text(), Signer.generate().verifier.to_text()
    keys = place.load(registry_toml().replace(f'{old}"', f'{other}"\nformer_key = "compromised"')).agents[0].keys
    assert [(key.to_ms, key.ended) for key in keys] == [(NOW_MS, "compromised"), (None, "rotated")]


def test_a_withdrawn_agents_key_ends_at_once(place: Place) -> None:
    place.load(registry_toml())
    text = registry_toml()
    agents = place.load(text[: text.index("\n[[facility.agent]]")]).agents
    assert [(key.to_ms, key.ended) for key in agents[0].keys] == [(NOW_MS, "withdrawn")]


def let_in(agent: str, epoch: str, from_seq: int, to_seq: int, reason: str) -> Release:
    return Release(agent=agent, epoch=epoch, from_seq=from_seq, to_seq=to_seq, actor="li", reason=reason)


def test_a_release_enters_the_document_with_who_and_why(place: Place) -> None:
    place.load(registry_toml())
    release_batches(place.log, place.projection, let_in("km01-a1", "0" * 20, 3, 9, "seen on site"))
    (one,) = place.office.issue().releases
    assert (one.agent, one.epoch, one.from_seq, one.to_seq, one.actor) == ("km01-a1", "0" * 20, 3, 9, "li")
    assert one.reason == "seen on site"


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (let_in("km99-a1", "0" * 20, 1, 2, "x"), "'km99-a1' is not registered"),
        (let_in("km01-a1", "0" * 19, 1, 2, "x"), "names no batches"),
        (let_in("km01-a1", "0" * 20, 2, 1, "x"), "names no batches"),
        (let_in("km01-a1", "0" * 20, 0, 1, "x"), "names no batches"),
        (let_in("km01-a1", "0" * 20, 1, 1 << 63, "x"), "names no batches"),
        (let_in("km01-a1", "0" * 20, 1, 2, " "), "needs a reason"),
    ],
)
def test_a_release_of_nothing_or_for_no_reason_is_refused(place: Place, held: Release, message: str) -> None:
    place.load(registry_toml())
    with pytest.raises(Fatal, match=message):
        release_batches(place.log, place.projection, held)


def test_who_reads_a_meter_stands_in_the_document(place: Place) -> None:
    issued = place.load(registry_toml().replace('serial = "SN-it"', 'serial = "SN-it"\nagent = "km01-a1"'))
    assert {meter.meter: meter.versions[0].agent for meter in issued.meters} == {"it": "km01-a1", "main": None}
    with pytest.raises(Fatal, match=r"meter\[1\].version\[0\].agent: 'km01-a2' is no agent of this facility"):
        place.load(registry_toml().replace('serial = "SN-it"', 'serial = "SN-it"\nagent = "km01-a2"'))


def test_a_certificate_without_end_does_not_expire(place: Place) -> None:
    issued = place.load(registry_toml().replace("meter_class =", "certificate_to = 9999-12-31\nmeter_class =", 1))
    assert [version.certificate_to_ms for meter in issued.meters for version in meter.versions] == [None, None]


def test_a_class_nobody_registered_stands_in_the_document_as_none(place: Place) -> None:
    issued = place.load(registry_toml().replace('meter_class = "0.2S"\nct_class = "0.2S"\n', ""))
    classes = [(one.meter_class, one.ct_class, one.pt_class) for meter in issued.meters for one in meter.versions]
    assert classes == [("", "", ""), ("", "", "")]


def test_a_document_that_no_collector_could_read_is_not_issued(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.load(registry_toml())
    faulty = [Agent(agent="a", site="A b", shard="s0", keys=[])]
    monkeypatch.setattr("compliance.topology.document_content", lambda _registry, _seq: Content(faulty, [], [], []))
    with pytest.raises(Reject, match="malformed"):
        place.office.issue()
    current = place.office.current()
    assert current is not None
    assert current[0].version == 1
