"""The topology document: signed, and exact about ratios and steps."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pue.contract import topology
from pue.contract.canonical import ZERO_HASH
from pue.contract.errors import Reject
from pue.contract.signing import Signer
from pue.contract.wire import SignedLine

SIGNER = Signer.generate()
VERSION = topology.MeterVersion(
    from_ms=0,
    serial="SN1",
    profile="schneider-pm5xxx",
    registers=[topology.Register(quantity="energy_import", unit="Wh", exponent=0, modulus=1 << 32)],
    max_power_w=8_000_000,
    ct="2000/5",
    pt="10000/100",
)
DOCUMENT = topology.Topology(
    issuer="yunnan",
    version=1,
    issued_ms=1,
    prev=ZERO_HASH,
    agents=[
        topology.Agent(
            agent="km01-a1",
            site="km01",
            shard="s0",
            keys=[topology.AgentKey(key=SIGNER.key_id, public=SIGNER.verifier.to_text(), from_ms=0)],
        )
    ],
    meters=[topology.Meter(site="km01", meter="main-a", versions=[VERSION])],
    configs=[],
)


def test_document_comes_back_as_it_was_signed() -> None:
    assert topology.open_topology(topology.sign_topology(DOCUMENT, SIGNER), SIGNER.verifier) == DOCUMENT


def test_ratio_is_ct_times_pt_and_step_is_joules() -> None:
    """2000/5 A and 10 kV / 100 V make 400 x 100."""
    assert VERSION.ratio == Fraction(40_000)
    assert VERSION.registers[0].step == 3_600


def test_document_of_another_issuer_is_refused() -> None:
    with pytest.raises(Reject, match="bad_signature"):
        topology.open_topology(topology.sign_topology(DOCUMENT, SIGNER), Signer.generate().verifier)


def test_signed_text_that_is_no_topology_is_refused() -> None:
    line = b'{"v":1}'
    with pytest.raises(Reject, match=r"^malformed: topology document does not fit its contract: "):
        topology.open_topology(SignedLine(line, SIGNER.sign(line)), SIGNER.verifier)
