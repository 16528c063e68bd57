"""The marks a reading and a slot can carry.

Bits are part of the wire and series contracts: a bit is never reused, and decoders keep bits they do not know.
"""

from __future__ import annotations

from enum import IntFlag


class Quality(IntFlag):
    """What is known about one reading; 0 is good.

    Bits 0-7 say why there is no value, bits 8 and up mark a value that is there.
    """

    GOOD = 0
    TIMEOUT = 1 << 0
    """The meter did not answer in time."""
    NO_LINK = 1 << 1
    """The gateway or port could not be reached."""
    EXCEPTION = 1 << 2
    """The meter answered with a protocol error; `raw` holds it."""
    UNSUPPORTED = 1 << 3
    """The meter has no such register or object."""
    SENTINEL = 1 << 4
    """The meter's own pattern for "no value"; `raw` holds it."""
    MALFORMED = 1 << 5
    """The answer does not fit the request; `raw` holds it."""
    RANGE = 1 << 6
    """The value is outside what the contract can carry (|value| >= 2**62)."""
    NOT_ASKED = 1 << 7
    """The schedule did not get to it before the next cycle; of the meter this says nothing."""

    CLOCK_UNSYNCED = 1 << 8
    """The agent's clock was not synchronised when this was read."""
    BACKWARDS = 1 << 9
    """A counter lower than the reading before it."""
    OUT_OF_BAND = 1 << 10
    """A value entered by a person or read off the display."""
    IMPLAUSIBLE = 1 << 11
    """A value that the quantity cannot have: a counter below zero, or one that rose faster than the meter can carry."""
    STALE = 1 << 12
    """The device answered with a value it had read itself before, and says that it is old."""
    RELAYED = 1 << 13
    """Read from a gateway's memory, not from the meter."""
    FREEZE = 1 << 14
    """The meter's register as it was frozen at a moment it states, such as midnight."""


NO_VALUE = Quality(0xFF)
"""With any of bits 0 to 7 a reading has no count, also with one that this version does not know."""


class Flag(IntFlag):
    """What is known about one slot's energy; 0 is measured from registers on both sides."""

    MEASURED = 0
    ALLOCATED = 1 << 0
    """Energy exact over a longer gap, its share in this slot interpolated."""
    INTEGRATED = 1 << 1
    """Integrated from power: no energy register."""
    ESTIMATED = 1 << 2
    """A substituted value, declared as such."""
    MANUAL = 1 << 3
    """From a reading entered by a person."""
    ROLLOVER = 1 << 4
    """The register passed its modulus here."""
    RESET = 1 << 5
    """The register fell without being able to wrap: energy unknown, bounded."""
    REPLACED = 1 << 6
    """A declared meter replacement."""
    CONFLICT = 1 << 7
    """Two different values for one time; the one kept first stays."""
    LATE = 1 << 8
    """Changed after it had been closed once."""
    SKEW = 1 << 9
    """The clock behind these times was not trustworthy."""
    STUCK = 1 << 10
    """The register stood still although power flowed."""
    NEGATIVE = 1 << 11
    """Negative power or count on an import register, put aside or not integrated."""
    RANGE = 1 << 12
    """A count outside int64's safe half or the register was put aside; or a leap that nothing confirms."""
    BALANCE = 1 << 13
    """Meters contradict each other on this day: parent and children, or a ratio that cannot be."""
    LOSS_MODELLED = 1 << 14
    """A declared loss was added for a meter on the low-voltage side."""
    UNCALIBRATED = 1 << 15
    """The meter's certificate was not valid."""
    AMBIGUOUS = 1 << 16
    """A gap long enough for the register to wrap unseen."""
    SPIKE = 1 << 17
    """A reading that its neighbours contradict was put aside; of a gauge, one beyond its maximum power."""
    MISSING = 1 << 18
    """Nothing is known of this slot but its bound."""
    DECLARED_OUTAGE = 1 << 19
    """The operator declared an outage over this slot."""
    SLOW = 1 << 20
    """A reading that took more than a minute was set aside: nobody knows when it was true."""
    LIMIT_REFUTED = 1 << 21
    """The register rose faster than its declared maximum power, and its neighbours confirm it."""
