"""Any bytes into admission give a kept batch or a counted refusal, and the others flow."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.admit import Route
from collector.app import Parts, opened
from collector.intake import Arrival
from collector.ledger import pack
from pue.contract.wire import SignedLine
from tests.support.collectors import bench
from tests.support.plants import START_MS, FakeAgent

AGENT = FakeAgent()
CONFIG = AGENT.configure()
GOOD = AGENT.read([START_MS, START_MS + 15_000], [1, None])


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with bench(tmp_path_factory.mktemp("fuzz"), [AGENT]) as desk, opened(desk.settings) as made:
        yield made


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good payload, line or signature with some bytes changed, cut or doubled."""
    line, signature = bytearray(GOOD.line), GOOD.signature
    for _ in range(draw(st.integers(0, 3))):
        line[draw(st.integers(0, len(line) - 1))] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        signature = AGENT.signer.sign(bytes(line))
    payload = bytearray(pack(SignedLine(bytes(line), signature)))
    if draw(st.booleans()):
        payload[draw(st.integers(0, len(payload) - 1))] ^= draw(st.integers(1, 255))
    return bytes(payload[: draw(st.integers(len(payload) - 3, len(payload)))])


ROUTES = st.sampled_from([Route("s0", AGENT.agent), Route("s0", "other"), Route("", ""), None])
ANY = st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(gzip.compress), damaged())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=ANY, route=ROUTES)
def test_any_bytes_are_kept_known_or_refused_and_the_next_batch_flows(
    parts: Parts, payload: bytes, route: Route | None
) -> None:
    before = parts.ledgers["s0"].committed
    taken = parts.intake.take(
        [Arrival(payload, route), Arrival(pack(CONFIG)), Arrival(payload, route)], parts.enrolled()
    )
    assert taken.committed + taken.duplicates + taken.refused.total() == 3
    assert parts.ledgers["s0"].committed == before + taken.committed
    assert len(taken.messages) == taken.refused.total()
    assert any(ack.agent == AGENT.agent for _, ack in taken.acks)


def test_every_single_flipped_bit_of_a_signed_batch_is_refused(parts: Parts) -> None:
    enrolled = parts.enrolled()
    arrivals = []
    for place in range(len(GOOD.line)):
        line = bytearray(GOOD.line)
        line[place] ^= 1 << place % 8
        arrivals.append(Arrival(pack(SignedLine(bytes(line), GOOD.signature))))
    taken = parts.intake.take(arrivals, enrolled)
    assert (taken.committed, taken.duplicates) == (0, 0)
    assert taken.refused.total() == len(GOOD.line)
