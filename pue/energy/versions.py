"""How a meter's register was counted, version by version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

import numpy as np

from pue.contract import topology as documents
from pue.contract.errors import Fatal
from pue.contract.series import MAX_ENERGY_J
from pue.energy.slots import Int64

_SAFE_MJ = 1 << 61
"""Half of what int64 holds. [mJ]"""

_WHOLE_FLOAT = 1 << 52

FLOAT32_BITS = 23
"""A float32 register's resolution is 2**-23 of its reading, or less."""


@dataclass(frozen=True, slots=True)
class RegisterVersion:
    """How one quantity of one meter was counted within [from_ms, to_ms).

    Attributes
    ----------
    from_ms, to_ms
        Validity, half-open; None is open. [ms UTC]
    step_j
        Size of a count on the primary side, CT and PT included. [J, or W for power]
    modulus
        Where the register wraps; None if it is not known to. [counts]
    max_power_w
        The most the meter can carry, primary side. [W]
    replacement
        Declared at `from_ms`: final count of the old register, initial count of this one. [counts]
    continues
        Whether, without a declared replacement, this is the register of the version before.
    max_ramp_w_per_s
        The fastest that the power of a gauge can change; None if nobody declared it. [W/s]
    """

    from_ms: int
    to_ms: int | None
    step_j: Fraction
    modulus: int | None
    max_power_w: int
    replacement: tuple[int, int] | None = None
    continues: bool = True
    max_ramp_w_per_s: int | None = None

    @property
    def hidden_j(self) -> int:
        """The most a register holds beyond the level its count is rounded to: it shows whole steps only. [J]"""
        return ceil(self.step_j) + self.rounding_j

    @property
    def rounding_j(self) -> int:
        """How far rounding to whole joules can lift a level; nothing where a step is whole joules. [J]"""
        return int(self.step_j.denominator > 1)


def register_versions(meter: documents.Meter, quantity: str) -> tuple[RegisterVersion, ...]:
    """Versions of one quantity of a meter, in order of time; versions without such a register are left out."""
    result: list[RegisterVersion] = []
    serial = None
    for version in sorted(meter.versions, key=lambda row: row.from_ms):
        register = next((row for row in version.registers if row.quantity == quantity), None)
        if register is None:
            continue
        result.append(
            RegisterVersion(
                from_ms=version.from_ms,
                to_ms=version.to_ms,
                step_j=register.step * version.ratio,
                modulus=register.modulus,
                max_power_w=version.max_power_w,
                max_ramp_w_per_s=version.max_ramp_w_per_s,
                replacement=_replacement(version, quantity),
                continues=serial in (None, version.serial),
            )
        )
        serial = version.serial
    return tuple(result)


def _replacement(version: documents.MeterVersion, quantity: str) -> tuple[int, int] | None:
    for row in version.replacements:
        if row.quantity == quantity:
            return row.old_final_count, row.new_initial_count
    return None


def merged(versions: Sequence[RegisterVersion]) -> tuple[RegisterVersion, ...]:
    """Join versions between which the register simply went on.

    Raises
    ------
    Fatal
        If there are none, or they overlap or are out of order.
    """
    if not versions:
        raise Fatal("a series has no register version; add the meter's version with this quantity to the topology")
    result = [versions[0]]
    for version in versions[1:]:
        before = result[-1]
        if before.to_ms is None or before.to_ms > version.from_ms:
            raise Fatal(f"register version from {version.from_ms} starts before the one before it ends; close that one")
        if _goes_on(before, version):
            power = max(before.max_power_w, version.max_power_w)
            result[-1] = replace(before, to_ms=version.to_ms, max_power_w=power)
        else:
            result.append(version)
    return tuple(result)


def _goes_on(before: RegisterVersion, after: RegisterVersion) -> bool:
    same = (before.step_j, before.modulus, before.to_ms) == (after.step_j, after.modulus, after.from_ms)
    same = same and before.max_ramp_w_per_s == after.max_ramp_w_per_s
    return same and after.continues and after.replacement is None


def version_at(time_ms: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    """Index of the version valid at each time, -1 where there is none."""
    starts = np.array([row.from_ms for row in versions], np.int64)
    # As a time 2**62 ms is later than any.
    ends = np.array([MAX_ENERGY_J if row.to_ms is None else row.to_ms for row in versions], np.int64)
    # "right": a version is valid at its first moment.
    index: Int64 = np.searchsorted(starts, time_ms, side="right") - 1
    return np.where((index >= 0) & (time_ms < ends[index]), index, -1)


def usable_counts(version: RegisterVersion, *, gauge: bool) -> tuple[int, int]:
    """Lowest and highest count that is no fault in itself."""
    # Both count and energy stay below 2**62, so that the difference of any two fits int64.
    safe = min(int((MAX_ENERGY_J - 1) / version.step_j), MAX_ENERGY_J - 1)
    if gauge:
        # P need not be whole steps, and a gauge may show it rounded up.
        most = min(int(version.max_power_w / version.step_j) + 1, safe)
        return -most, most
    return 0, safe if version.modulus is None else min(version.modulus - 1, safe)


def counts_per_ms(version: RegisterVersion) -> float:
    """Fastest that the register can run, as a float: to look for what needs an exact look. [counts/ms]"""
    return float(_exact_rate(version))


def most_counts(version: RegisterVersion, time_ms: Int64) -> Int64:
    """Whole counts that the maximum power can add in some times, exactly. [counts]"""
    rate = _exact_rate(version)
    longest_ms = int(np.abs(time_ms).max(initial=0))
    if rate.numerator * longest_ms < MAX_ENERGY_J:
        return np.asarray(time_ms * rate.numerator // rate.denominator, np.int64)
    exact = [min(time * rate.numerator // rate.denominator, MAX_ENERGY_J) for time in time_ms.tolist()]
    return np.array(exact, np.int64)


def _exact_rate(version: RegisterVersion) -> Fraction:
    return Fraction(version.max_power_w, 1000) / version.step_j


def rounded(value: Fraction) -> int:
    """Nearest whole number, halves up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def scaled(count: Int64, step: Fraction) -> Int64:
    """Count x step rounded half up once; the caller keeps the result under `MAX_ENERGY_J`. [J]"""
    top = step.numerator
    bottom = step.denominator
    if bottom == 1:
        return count * top
    largest = int(np.abs(count).max(initial=0))
    # Half up: floor(x + 1/2) with x = count x top / bottom, in whole numbers.
    if 2 * (largest + 1) * top + bottom < MAX_ENERGY_J:
        return (2 * count * top + bottom) // (2 * bottom)
    return np.array([rounded(value * step) for value in count.tolist()], np.int64)


def powers_w(versions: Sequence[RegisterVersion], first: Int64, last: Int64) -> tuple[Int64, Int64]:
    """Least and largest maximum power of all versions from one to another, both included. (N,), (N,) -> (N,) x 2 [W]"""
    power = [version.max_power_w for version in versions]
    pairs = zip(first.tolist(), last.tolist(), strict=True)
    parts = [power[start : end + 1] for start, end in pairs]
    return np.array(list(map(min, parts)), np.int64), np.array(list(map(max, parts)), np.int64)


def power_in_force_w(versions: Sequence[RegisterVersion], from_ms: int, to_ms: int, own_w: int) -> int:
    """Largest maximum power in force at some moment of [from, to), or of a reading beside it. [W]"""
    in_force = [
        version.max_power_w
        for version in versions
        if version.from_ms < to_ms and (version.to_ms is None or version.to_ms > from_ms)
    ]
    return max([own_w, *in_force])


def power_mj(power_w: Int64, time_ms: Int64) -> Int64:
    """Power x time, exact: W x ms are mJ. Beyond int64 the result is an array of Python integers. (N,) [mJ]"""
    longest_ms = max(int(time_ms.max(initial=0)), -int(time_ms.min(initial=0)))
    if int(power_w.max(initial=0)) * longest_ms < _SAFE_MJ:
        return np.asarray(power_w * time_ms, np.int64)
    exact: Int64 = power_w.astype(object) * time_ms
    return exact


def joules_up(energy_mj: Int64) -> Int64:
    """Whole joules, rounded up, at most `MAX_ENERGY_J`. (N,) [J]

    Below 2**52 mJ floats are as good and faster: a quotient that is no whole number is at least 0.001 away from one,
    and floats of that size lie closer than that.
    """
    if (
        energy_mj.dtype == np.int64
        and max(int(energy_mj.max(initial=0)), -int(energy_mj.min(initial=0))) < _WHOLE_FLOAT
    ):
        return np.asarray(np.ceil(energy_mj / 1000.0), np.int64)
    return np.asarray(np.minimum(-(-energy_mj // 1000), MAX_ENERGY_J), np.int64)
