"""The signed, versioned document in which compliance tells collectors what exists and who may speak for it.

It holds enrolled keys, meters with their versions, and approved configurations. Weights stay in compliance:
what a meter counts for is a judgement, what it is and how its register runs is a fact.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

import msgspec

from pue.contract.batches import (
    Algorithm,
    Count,
    Epoch,
    Hash,
    KeyId,
    MeterName,
    Name,
    QuantityName,
    Ratio,
    Seq,
    Text,
    TimeMs,
)
from pue.contract.errors import Reject, RejectReason
from pue.contract.quantities import step
from pue.contract.signing import Signer, Verifier
from pue.contract.wire import SignedLine

VERSION = 1


class _Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Immutable, named fields only, unknown ones refused."""


class AgentKey(_Base, frozen=True, kw_only=True):
    """A public key by which an agent may sign batches it sends within [from_ms, to_ms).

    `ended` says why it has an end. What a rotated key signed before may still arrive later; what a compromised one or a
    withdrawn agent's signed may not, for nobody can tell when it was.
    """

    key: KeyId
    alg: Algorithm = "Ed25519"
    public: str
    from_ms: TimeMs
    to_ms: TimeMs | None = None
    ended: Literal["rotated", "compromised", "withdrawn"] = "rotated"


class Agent(_Base, frozen=True, kw_only=True):
    """An enrolled agent: where it stands and by which keys it signs."""

    agent: Name
    site: Name
    shard: Name
    keys: list[AgentKey]


class Register(_Base, frozen=True, kw_only=True):
    """One quantity of a meter version: the size of a count and where the counter wraps.

    `modulus` is in counts; null means that it is not known to wrap, and a fall is then never a rollover.
    """

    quantity: QuantityName
    unit: str
    exponent: Annotated[int, msgspec.Meta(ge=-9, le=9)]
    modulus: Annotated[int, msgspec.Meta(gt=0, lt=1 << 62)] | None = None

    @property
    def step(self) -> Fraction:
        """Base units of one count before CT and PT. [J, W, ...]"""
        return step(self.quantity, self.unit, self.exponent)


class Replacement(_Base, frozen=True, kw_only=True):
    """A declared exchange at the start of a version: counts of the old and the new register."""

    quantity: QuantityName
    old_final_count: Count
    new_initial_count: Count


class MeterVersion(_Base, frozen=True, kw_only=True):
    """How one meter was installed within [from_ms, to_ms); a new ratio, meter or certificate is a new version.

    A class of "" is not registered, or of a transformer that is not there. `agent` is who reads the meter meanwhile;
    None is whoever stands at its site.
    """

    from_ms: TimeMs
    to_ms: TimeMs | None = None
    # A new serial means another register: energy across is unknown unless `replacements` say what both showed.
    serial: Text
    agent: Name | None = None
    profile: Name
    registers: list[Register]
    max_power_w: Annotated[int, msgspec.Meta(gt=0, le=10**12)]
    max_ramp_w_per_s: Annotated[int, msgspec.Meta(gt=0, le=10**9)] | None = None
    ct: Ratio = "1"
    pt: Ratio = "1"
    meter_class: str = ""
    ct_class: str = ""
    pt_class: str = ""
    calibration_group: Text = ""
    certificate_to_ms: TimeMs | None = None
    replacements: list[Replacement] = []

    @property
    def ratio(self) -> Fraction:
        """CT x PT, primary by secondary. [-]"""
        # "2000/5" reads as a fraction: 400. Exact, whatever the ratio.
        return Fraction(self.ct) * Fraction(self.pt)


class Meter(_Base, frozen=True, kw_only=True):
    """A place where energy is metered; `parent` is the meter it hangs under, for the energy balance."""

    site: Name
    meter: MeterName
    parent: MeterName | None = None
    versions: list[MeterVersion]


class Release(_Base, frozen=True, kw_only=True):
    """Held batches that a person lets in, both ends included: who, and why."""

    agent: Name
    epoch: Epoch
    from_seq: Seq
    to_seq: Seq
    actor: Text
    reason: Text


class Topology(_Base, frozen=True, kw_only=True):
    """The document; `prev` is the SHA-256 of the version before it."""

    v: int = VERSION
    kind: Literal["topology"] = "topology"
    issuer: Name
    version: Annotated[int, msgspec.Meta(ge=1)]
    issued_ms: TimeMs
    prev: Hash
    agents: list[Agent]
    meters: list[Meter]
    configs: list[Hash]
    releases: list[Release] = []


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Topology)


def sign_topology(topology: Topology, signer: Signer) -> SignedLine:
    """Issue a version of the document."""
    line = _ENCODER.encode(topology)
    return SignedLine(line, signer.sign(line))


def open_topology(signed: SignedLine, verifier: Verifier) -> Topology:
    """Check the signature and read the document.

    Raises
    ------
    Reject
        `bad_signature` or `malformed`, naming the field.
    """
    verifier.check(signed.line, signed.signature)
    try:
        return _DECODER.decode(signed.line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Reject(RejectReason.MALFORMED, f"topology document does not fit its contract: {error}") from None
