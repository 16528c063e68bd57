"""The bits of the contract: assigned once, never moved."""

from __future__ import annotations

from pue.contract.quality import NO_VALUE, Flag, Quality


def test_quality_bits_stay_where_they_are() -> None:
    assert {bit.name: bit.value for bit in Quality} == {
        "TIMEOUT": 1, "NO_LINK": 2, "EXCEPTION": 4, "UNSUPPORTED": 8, "SENTINEL": 16, "MALFORMED": 32, "RANGE": 64,
        "NOT_ASKED": 128, "CLOCK_UNSYNCED": 256, "BACKWARDS": 512, "OUT_OF_BAND": 1024, "IMPLAUSIBLE": 2048,
        "STALE": 4096, "RELAYED": 8192, "FREEZE": 16384,
    }  # fmt: skip
    assert NO_VALUE == 255


def test_flag_bits_stay_where_they_are() -> None:
    assert [flag.name for flag in Flag] == [
        "ALLOCATED", "INTEGRATED", "ESTIMATED", "MANUAL", "ROLLOVER", "RESET", "REPLACED", "CONFLICT", "LATE", "SKEW",
        "STUCK", "NEGATIVE", "RANGE", "BALANCE", "LOSS_MODELLED", "UNCALIBRATED", "AMBIGUOUS", "SPIKE", "MISSING",
        "DECLARED_OUTAGE", "SLOW", "LIMIT_REFUTED",
    ]  # fmt: skip
    assert [flag.value for flag in Flag] == [1 << bit for bit in range(22)]
