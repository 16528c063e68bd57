"""Hostile meters, facilities and facts as plain data, from a seed: all METHOD.md speaks of, in odd combinations."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from random import Random
from typing import Any

from tests.reference.exact import SLOT_MS, half_up
from tests.reference.facility import Term
from tests.reference.findings import Period
from tests.reference.registers import Reading, Slot, Version

EPOCH_MS = 1_774_915_200_000  # the last day of March 2026, a slot's start
VALUELESS = (1, 2, 16, 64, 128)
MARKED = (0, 0, 0, 0, 0, 256, 512, 1024, 256 | 1024)
STEPS = (
    Fraction(1),
    Fraction(36_000),
    Fraction(360_000),
    Fraction(3_600_000),
    Fraction(3_600_000) * 40,
    Fraction(3_600_000, 7),
    Fraction(1, 3),
    Fraction(7, 2),
    Fraction(123_456_789, 1000),
)
POWERS = (7, 1_000, 50_000, 200_000, 2_000_000)


@dataclass
class Meter:
    seed: int
    kind: str
    readings: list[Reading]
    versions: list[Version]
    max_gap_ms: int
    marks: dict[int, tuple[str, ...]] = field(default_factory=dict)


def meter(seed: int) -> Meter:
    rng = Random(f"meter {seed}")
    kind = rng.choice(("tiny", "tiny", "plant", "plant", "power"))
    made = {"tiny": tiny, "plant": plant, "power": gauge}[kind](rng)
    readings, versions = made
    rng.shuffle(readings)
    max_gap_ms = rng.choice((SLOT_MS, SLOT_MS, SLOT_MS + 60_000, SLOT_MS + 60_000, 60_000, 3_600_000))
    return Meter(seed, "power" if kind == "power" else "register", readings, versions, max_gap_ms)


# A few readings around edges, with counts from a small set


def tiny(rng: Random) -> tuple[list[Reading], list[Version]]:
    step = rng.choice(STEPS)
    power_w = rng.choice(POWERS)
    pace = max(1, math.floor(Fraction(power_w * 900) / step))  # counts of a slot at full power
    modulus = rng.choice((None, None, pace * 3 + 5, pace * 40 + 7, 10**6 + pace))
    base = rng.choice((0, 0, pace * 2, 2**23 - 5, 2**24 + 3, 2**25))
    if modulus is not None:
        base = rng.choice((base % modulus, modulus - 1 - rng.randrange(min(modulus, pace + 2))))
    versions = tiny_versions(rng, step, power_w, modulus, pace)
    readings = []
    moment = EPOCH_MS + rng.choice((0, 0, 1, -1, 333_333, SLOT_MS - 7_000))
    count = base
    for _ in range(rng.choice((0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12))):
        t0 = moment - rng.choice((0, 0, 0, 1, 250, 5_000, 59_999, 60_000, 60_001, -3_000))
        quality = rng.choice(VALUELESS) if rng.random() < 0.05 else rng.choice(MARKED)
        readings.append(Reading(t0, moment, count, quality, rng.randrange(3)))
        if rng.random() < 0.08:
            other = count + rng.choice((0, 1, -1, pace))
            readings.append(Reading(t0 - rng.choice((0, 5)), moment, other, rng.choice(MARKED), rng.randrange(3)))
        lasting = rng.choice((0, 1_000, 15_000, 60_000, 300_000, 900_000, 900_001, 960_000, 1_800_000, 5_400_000))
        if rng.random() < 0.4:  # onto the next edge
            lasting = (-moment) % SLOT_MS + rng.choice((0, 0, 0, 1, -1))
        lasting = max(0, lasting)
        moment += lasting
        most = math.floor(Fraction(power_w * lasting, 1000) / step)
        rise = rng.choice((0, most // 2, most, most + 1, most + 2, most * 3 + 5, rng.randrange(most + 2)))
        if rng.random() < 0.2:
            rise = rng.choice((-1, -rise, -count, -count // 2, most * 5 + 9, -(most * 5 + 9)))
        count += rise
        if modulus is not None and rng.random() < 0.97:
            count %= modulus
        if rng.random() < 0.97:
            count = max(0, count)
    return readings, versions


def tiny_versions(rng: Random, step: Fraction, power_w: int, modulus: int | None, pace: int) -> list[Version]:
    """One version, or some: rescaled, replaced, of another power, with holes."""
    first = Version(0, None, step, modulus, power_w)
    result = [first]
    start = EPOCH_MS
    while rng.random() < 0.35 and len(result) < 4:
        start += rng.choice((1, 60_000, SLOT_MS, SLOT_MS, 1_000_000, 2_700_000))
        hole = rng.choice((0, 0, 0, 0, 600_000))
        result[-1] = result[-1]._replace(to_ms=start)
        start += hole
        declared = None
        if rng.random() < 0.5:
            declared = (rng.choice((0, pace, 2 * pace, 2**24)), rng.choice((0, 0, 1, pace)))
            if modulus is not None:
                declared = (declared[0] % modulus, declared[1] % modulus)
        result.append(
            Version(
                start,
                None,
                rng.choice((step, step, rng.choice(STEPS))),
                modulus if declared is None else rng.choice((modulus, modulus, None)),
                rng.choice((power_w, power_w, rng.choice(POWERS))),
                declared,
                rng.random() < 0.6,
            )
        )
    return result


# A meter in a plant, read regularly, with what happens to meters


@dataclass
class Load:
    """Power in pieces, and the energy since the start. [W, ms, J]"""

    pieces: list[tuple[int, int, Fraction]]

    def energy(self, moment: int) -> Fraction:
        total = Fraction(0)
        for from_ms, to_ms, power_w in self.pieces:
            total += power_w * max(0, min(moment, to_ms) - from_ms) / 1000
        return total


def load(rng: Random, from_ms: int, to_ms: int, power_w: int) -> Load:
    """Idle, half, exactly at the maximum, and sometimes over it for a while."""
    pieces = []
    over = rng.random() < 0.25
    start = from_ms
    while start < to_ms:
        end = start + rng.choice((60_000, 300_000, 900_000, 3_600_000))
        share = rng.choice((0, Fraction(1, 2), Fraction(9, 10), 1, 1, Fraction(rng.randrange(1000), 1000)))
        if over and rng.random() < 0.3:
            share = rng.choice((Fraction(11, 10), 2, 5))
        pieces.append((start, end, Fraction(power_w) * share))
        start = end
    return Load(pieces)


def plant(rng: Random) -> tuple[list[Reading], list[Version]]:
    step = rng.choice(STEPS)
    power_w = rng.choice(POWERS[1:])
    pace = max(1, math.floor(Fraction(power_w * 900) / step))
    modulus = rng.choice((None, 10**9, 2**32, pace * 5 + 3, pace * 30 + 11))
    base = rng.choice((0, 12_345, 2**23 - pace, 2**26 + 17))
    is_float32 = base >= 2**23 - pace and rng.random() < 0.7
    interval = rng.choice((30_000, 60_000, 60_000, 300_000, 900_000, 1_200_000))
    length = rng.choice((1, 4, 8, 13)) * max(SLOT_MS, interval * 4)
    from_ms = EPOCH_MS + rng.choice((0, 0, 1, 17, 425_000))
    truth = load(rng, from_ms - 120_000, from_ms + length + 120_000, power_w)
    jitter = rng.choice((0, 0, 1, 500, 20_000))
    reply = rng.choice((0, 0, 40, 900, 8_000, 55_000))
    offset = rng.randrange(1000)
    readings = []
    for moment in range(from_ms, from_ms + length + 1, interval):
        t1 = max(from_ms, moment + rng.randrange(-jitter, jitter + 1))
        t0 = t1 - rng.randrange(reply + 1)
        if rng.random() < 0.01:
            t0 = t1 - rng.choice((60_001, 119_000))
        elif rng.random() < 0.01:
            t0 = t1 + rng.randrange(1, 5_000)
        true_at = rng.randrange(min(t0, t1), t1 + 1)
        count = base + math.floor(truth.energy(true_at) / step + Fraction(offset, 1000))
        if is_float32:
            resolution = 2 ** max(0, count.bit_length() - 24)
            count = round(count / resolution) * resolution
        readings.append(Reading(t0, t1, count, rng.choice(MARKED), rng.randrange(1000)))
    versions = [Version(0, None, step, modulus, power_w)]
    for happens in (lost, leapt, fallen, spiked, changed, doubled, failed):
        if readings and rng.random() < 0.45:
            readings, versions = happens(rng, readings, versions, pace)
    if modulus is not None:
        readings = [r._replace(count=r.count % modulus) if r.count > 0 else r for r in readings]
    for place in range(len(readings)):
        if rng.random() < 0.004:
            odd = rng.choice((-1, -50, 2**62, (modulus or 2**40) + 5))
            readings[place] = readings[place]._replace(count=odd)
    return readings, versions


Made = tuple[list[Reading], list[Version]]


def lost(rng: Random, readings: list[Reading], versions: list[Version], pace: int) -> Made:
    """Gaps, short and long."""
    kept = list(readings)
    for _ in range(rng.randrange(1, 4)):
        if len(kept) > 3:
            start = rng.randrange(len(kept))
            del kept[start : start + rng.choice((1, 2, 5, len(kept) // 3 + 1))]
    return kept, versions


def leapt(rng: Random, readings: list[Reading], versions: list[Version], pace: int) -> Made:
    """A leap that stays, or is taken back some readings later."""
    start = rng.randrange(len(readings))
    end = rng.choice((len(readings), start + rng.choice((1, 2, 3, 7, 8, 9))))
    by = rng.choice((pace, 3 * pace + 7, 50 * pace + 9))
    moved = [r._replace(count=r.count + by) if start <= i < end else r for i, r in enumerate(readings)]
    return moved, versions


def fallen(rng: Random, readings: list[Reading], versions: list[Version], pace: int) -> Made:
    """A register that starts again, for good or for some readings."""
    start = rng.randrange(len(readings))
    end = rng.choice((len(readings), start + rng.choice((1, 2, 3, 8))))
    by = rng.choice((readings[start].count, readings[start].count // 2, pace * 4 + 3))
    moved = [r._replace(count=max(0, r.count - by)) if start <= i < end else r for i, r in enumerate(readings)]
    return moved, versions


def spiked(rng: Random, readings: list[Reading], versions: list[Version], pace: int) -> Made:
    """Single readings, or two or three in a row, that are far off or zero."""
    result = list(readings)
    for _ in range(rng.randrange(1, 4)):
        start = rng.randrange(len(result))
        off = rng.choice((-result[start].count, 40 * pace + 3, -40 * pace - 3, 2 * pace + 5, 2**31))
        for place in range(start, min(len(result), start + rng.choice((1, 1, 1, 2, 3, 4)))):
            own = off + rng.choice((0, 0, 5 * pace + 4))
            result[place] = result[place]._replace(count=max(0, result[place].count + own))
    return result, versions


def changed(rng: Random, readings: list[Reading], versions: list[Version], pace: int) -> Made:
    """The meter is replaced, declared or not, rescaled, or of another maximum power, at an odd or even moment."""
    place = rng.randrange(len(readings))
    moment = rng.choice((readings[place].t1, readings[place].t1 + 1, readings[place].t1 - 7, EPOCH_MS + SLOT_MS))
    if moment <= versions[-1].from_ms:
        return readings, versions
    old = versions[-1]
    what = rng.choice(("power", "step", "declared", "declared", "undeclared", "same"))
    hole = rng.choice((0, 0, 0, 400_000))
    new = old._replace(from_ms=moment + hole)
    result = list(readings)
    if what == "power":
        new = new._replace(power_w=rng.choice((old.power_w * 2, old.power_w // 2 + 1)))
    elif what == "step":
        new = new._replace(step=old.step * 2)
        result = [r._replace(count=r.count // 2) if r.t1 >= moment else r for r in result]
    elif what in ("declared", "undeclared"):
        before = [r.count for r in readings if r.t1 < moment]
        final = max(0, (before[-1] if before else 0) + rng.choice((0, 0, 1, -1, pace * 9)))
        initial = rng.choice((0, 0, 5, 1_000))
        if old.modulus is not None:
            final %= old.modulus
            initial %= old.modulus
        result = [r._replace(count=max(0, r.count - final + initial)) if r.t1 >= moment else r for r in result]
        declared = (final, initial) if what == "declared" else None
        new = new._replace(declared=declared, same_serial=False)
    return result, [*versions[:-1], old._replace(to_ms=moment), new]


def doubled(rng: Random, readings: list[Reading], versions: list[Version], pace: int) -> Made:
    """Readings that come twice, some with another count."""
    more = [
        r._replace(
            count=r.count + rng.choice((0, 0, 1, -1, pace)), order=rng.randrange(1000), t0=r.t0 - rng.choice((0, 1))
        )
        for r in rng.sample(readings, min(3, len(readings)))
    ]
    return [*readings, *more], versions


def failed(rng: Random, readings: list[Reading], versions: list[Version], pace: int) -> Made:
    """Readings without a value."""
    return [
        r._replace(quality=r.quality | rng.choice(VALUELESS), count=0) if rng.random() < 0.1 else r for r in readings
    ], versions


# A gauge


def gauge(rng: Random) -> tuple[list[Reading], list[Version]]:
    step = rng.choice((Fraction(1), Fraction(1, 10), Fraction(400), Fraction(1000, 3)))
    power_w = rng.choice((1_000, 50_000, 200_000, 0))
    most = math.floor(power_w / step)
    ramp = rng.choice((None, None, 0, 1, 50, 5_000))
    versions = [Version(0, None, step, None, power_w, ramp=ramp)]
    moment = EPOCH_MS + rng.choice((0, 1, 700_001))
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        start = max(versions[-1].from_ms, EPOCH_MS) + rng.choice((1, SLOT_MS, 1_000_000, 3_700_000))
        versions[-1] = versions[-1]._replace(to_ms=start)
        start += rng.choice((0, 0, 300_000))
        new = versions[-1]._replace(from_ms=start, to_ms=None, same_serial=rng.random() < 0.5)
        if rng.random() < 0.6:
            new = new._replace(power_w=rng.choice((power_w * 2, 90_000)), ramp=rng.choice((ramp, ramp, 10, None)))
        if rng.random() < 0.3:
            new = new._replace(step=rng.choice((step * 2, step)), declared=rng.choice((None, (5, 0))))
        versions.append(new)
    readings = []
    count = most // 2
    interval = rng.choice((1_000, 15_000, 60_000, 300_000, 900_000, 1_000_000))
    for _ in range(rng.choice((0, 1, 2, 3, 8, 20, 60))):
        t0 = moment - rng.choice((0, 0, 10, 900, 60_000, 60_001, -5))
        quality = rng.choice(VALUELESS) if rng.random() < 0.04 else rng.choice(MARKED)
        readings.append(Reading(t0, moment, count, quality, rng.randrange(9)))
        if rng.random() < 0.04:
            readings.append(Reading(t0, moment, count + 1, rng.choice(MARKED), rng.randrange(9)))
        moment += rng.choice((interval, interval, interval + rng.randrange(-500, 500), interval * 4, 0))
        kind = rng.random()
        if kind < 0.5:
            count = min(max(0, count + rng.randrange(-3, 4)), most + 1)
        elif kind < 0.9:
            count = rng.randrange(most + 1)
        else:
            count = rng.choice((0, most, most + 1, most + 2, -1, -most - 1, -most - 2, 2**62))
    return readings, versions


# Facilities


@dataclass
class Facility:
    seed: int
    terms: list[Term]
    slots: dict[str, list[Slot]]
    from_ms: int
    to_ms: int
    windows: list[tuple[int, int]]
    zone: str
    least_it_w: Fraction


ZONES = (
    "UTC",
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
)
WEIGHTS = (0, 1, 1, 1, -1, Fraction(1, 2), Fraction(-1, 3), Fraction(13, 10))


def facility(seed: int) -> Facility:
    """Two to eight meters, parents and children, some days in which they may contradict each other."""
    rng = Random(f"facility {seed}")
    if seed % 8 == 3:
        return tight(seed, rng)
    zone = rng.choice(ZONES)
    hours = rng.choice((2, 6, 30, 30, 54))
    start = 1_774_656_000_000 + rng.randrange(0, 6 * 96) * SLOT_MS  # the days around the last Sunday of March 2026
    if rng.random() < 0.3:
        start = 1_792_800_000_000 // SLOT_MS * SLOT_MS + rng.randrange(0, 4 * 96) * SLOT_MS
    end = start + hours * 4 * SLOT_MS
    names = [f"m{i}" for i in range(rng.choice((2, 2, 3, 4, 5, 8)))]
    parent: dict[str, str | None] = {}
    for i, name in enumerate(names):
        older = [n for n in names[:i] if parent[n] is None or parent[str(parent[n])] is None]
        parent[name] = rng.choice(older) if older and rng.random() < 0.6 else None
    terms: list[Term] = []
    for i, name in enumerate(names):
        terms += meter_terms(rng, name, i, parent[name], start, end)
    slots = {name: meter_slots(rng, name, names, parent, terms, start, end) for name in names if rng.random() < 0.95}
    windows = [(start, end)]
    for _ in range(4):
        f = rng.randrange((end - start) // SLOT_MS)
        to = rng.randrange(f + 1, (end - start) // SLOT_MS + 1)
        windows.append((start + f * SLOT_MS, start + to * SLOT_MS))
    it_power = rng.choice((0, 0, 500, 10_000, 400_000))
    return Facility(seed, terms, slots, start, end, windows, zone, Fraction(it_power, rng.choice((1, 100, 7))))


def tight(seed: int, rng: Random) -> Facility:
    """A day on which a child carries more than its parent, by about or exactly what errors and steps explain."""
    start = EPOCH_MS // 86_400_000 * 86_400_000
    end = start + 96 * SLOT_MS
    u = Fraction(0.00408 if seed // 8 % 2 else 0.0)
    step_j = rng.choice((36_000, 3_600_000))
    parent = Term("m0", Fraction(2), Fraction(0), True, 0, None, None, u, step_j=step_j, power_w=200_000)
    child = Term("m1", Fraction(0), Fraction(1), True, 0, None, "m0", u, step_j=step_j, power_w=200_000)
    parents = [Slot(at, 60_000_000) for at in range(start, end, SLOT_MS)]
    children = [Slot(at, 60_000_000) for at in range(start, end, SLOT_MS)]
    carried = 96 * 60_000_000
    explained = math.ceil(2 * math.sqrt(2) * float(u) * carried) + 4 * step_j
    excess = math.floor(explained * rng.choice((1, 1, Fraction(11, 10)))) + rng.choice((-1, 0, 1, 2))
    children[rng.randrange(96)].energy_j += excess
    return Facility(
        seed, [parent, child], {"m0": parents, "m1": children}, start, end, [(start, end)], "UTC", Fraction(0)
    )


def meter_terms(rng: Random, name: str, i: int, parent: str | None, start: int, end: int) -> list[Term]:
    """One or two terms: a version that begins or ends within, two weights at once, nothing registered."""
    a = Fraction(1) if i == 0 else Fraction(rng.choice(WEIGHTS) if rng.random() < 0.5 else 0)
    b = Fraction(1) if i == 1 else Fraction(rng.choice(WEIGHTS) if rng.random() < 0.5 else 0)
    known = rng.random() < 0.85
    has_certificate = rng.random() < 0.9
    certificate = rng.choice((None, None, None, start + rng.randrange(-10, 200) * SLOT_MS + rng.choice((0, 0, 7))))
    term = Term(
        name,
        a,
        b,
        rng.random() < 0.7,
        rng.choice((0, 0, 0, 0, start + rng.randrange(-3, 100) * SLOT_MS + rng.choice((0, 0, 400)))),
        rng.choice((None, None, None, None, start + rng.randrange(1, 150) * SLOT_MS + rng.choice((0, 0, 400)))),
        parent,
        Fraction(rng.choice((0.0, 0.00408, 0.0119, 0.05))),
        rng.choice((Fraction(0), Fraction("0.004"), Fraction("0.01"), Fraction("0.09"))),
        known,
        rng.choice(("", "", "", "g1", "g2")),
        rng.choice(("", "x", "x", "y")),
        certificate if has_certificate else None,
        has_certificate,
        rng.choice((1, 36_000, 3_600_000)),
        rng.choice((100_000, 100_000, 200_000, 200_000, 50_000, 0)),
    )
    if term.to_ms is not None and term.to_ms <= term.from_ms:
        term = term._replace(to_ms=None)
    result = [term]
    if term.to_ms is not None and rng.random() < 0.7:  # the next version
        more = term._replace(from_ms=term.to_ms, to_ms=None, power_w=rng.choice((100_000, 200_000)))
        if rng.random() < 0.5:
            more = more._replace(a=Fraction(rng.choice(WEIGHTS)), u=Fraction(0.01), limit=Fraction("0.02"))
        result.append(more)
    return result


def meter_slots(
    rng: Random,
    name: str,
    names: list[str],
    parent: dict[str, str | None],
    terms: list[Term],
    start: int,
    end: int,
) -> list[Slot]:
    """Energies about those of a family without losses, with holes and doubts."""
    power_w = next((t.power_w for t in terms if t.meter == name), 0) or 100_000
    depth = 0
    above = parent[name]
    while above is not None:
        depth += 1
        above = parent[above]
    usual = power_w * 900 * Fraction(2, 3) / 3**depth
    mood = rng.choice((1, 1, 1, Fraction(11, 10), Fraction(1, 100), 2, 0))
    doubt = rng.choice((0, 0, 0.02, 0.3))
    result = []
    at = start - rng.choice((0, 0, 3, -5)) * SLOT_MS
    until = end + rng.choice((1, 1, 0, -7)) * SLOT_MS
    while at < until:
        slot = Slot(at)
        if (at // SLOT_MS) % 96 == 0:
            mood = rng.choice((1, 1, Fraction(12, 10), Fraction(1, 200), 3, 0))
        slot.energy_j = half_up(usual * mood * Fraction(rng.randrange(90, 111), 100))
        for kind in ("below", "above"):
            value = rng.choice((0, 36_000, rng.randrange(3_600_000)))
            setattr(slot, f"{kind}_j", value)
            setattr(slot, f"{kind}_capped_j", rng.choice((value, value // 2)))
        if rng.random() < 0.05:
            slot.under_j = min(slot.energy_j, rng.choice((36_000, slot.energy_j)))
            slot.over_j = rng.choice((0, 36_000, slot.energy_j // 2))
        if rng.random() < doubt:
            slot.unknown_j = rng.choice((1, power_w * 900, power_w * 450, 2**62, power_w * 900))
            slot.gap_ms = rng.choice((0, 60_000, 450_000, SLOT_MS, SLOT_MS))
            if slot.gap_ms == SLOT_MS:
                slot.energy_j = 0
                slot.under_j = 0
        if rng.random() < 0.01:
            slot.marks.add("LIMIT_REFUTED")
            slot.energy_j *= rng.choice((1, 2, 5))
        if rng.random() < 0.03:
            slot.marks.add(rng.choice(("SKEW", "ALLOCATED", "INTEGRATED", "MANUAL", "ESTIMATED")))
        if rng.random() >= 0.02:
            result.append(slot)
        at += SLOT_MS * rng.choice((1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3))
    return result


# Findings


REGIONS = ("530100", "530000", "110105", "440300", "DE", "DEBY", "FR")
LIMITS = (Fraction("1.2"), Fraction("1.25"), Fraction("1.3"), Fraction("1.35"), Fraction("1.5"))


def facts(rng: Random, on: date) -> dict[str, Any]:
    """What a registry may know of a facility on a day."""

    def day(*around: date) -> date:
        return rng.choice(around) + timedelta(days=rng.choice((-400, -1, 0, 1, 700)))

    return {
        "facility": "f",
        "on": on,
        "region": rng.choice(REGIONS),
        "stage": rng.choice(("existing", "existing", "existing", "under_construction", "proposed")),
        "build": rng.choice(("new", "new", "existing", "rebuild", "expansion")),
        "standard_racks": rng.choice((None, 0, 2999, 3000, 9999, 10_000)),
        "it_power_kw": rng.choice((None, 299, 300, 1_000.0, 4_000.5, 40_000)),
        "annual_kwh": rng.choice((None, 4_999_999, 5_000_000)),
        "approved_on": rng.choice((None, day(date(2024, 2, 29)))),
        "commissioned_on": rng.choice((None, date(2024, 2, 29), day(date(2026, 7, 1)), day(on))),
        "operating_from_ms": None,
        "hub_cluster": rng.choice((None, "", "x")),
        "green_grade": rng.choice(("", "3A", "4A", "5A")),
        "green_grade_certificate": rng.choice(("", "n")),
        "green_grade_valid_to": rng.choice((None, on, on + timedelta(days=1), on - timedelta(days=1))),
        "siting_exception": rng.choice(("", "why")),
        "incentives": rng.choice((None, (), ("land",))),
        "transition_until": rng.choice((None, None, None, on, on + timedelta(days=1), on - timedelta(days=1))),
    }


def period(rng: Random, to_ms: int) -> Period | None:
    """A year, good or with defects; its figures near the limits that rules state."""
    if rng.random() < 0.1:
        return None
    length = rng.choice((365, 366)) * 86_400_000 + rng.choice((0, 0, 0, 7_200_000, -7_200_000, 3_600_000))
    length += rng.choice((0,) * 40 + (900_000, -900_000, -30 * 86_400_000))
    it_j = rng.choice((10**13, 10**15, 10**15 + 7, 3 * 10**10, 0))
    pue = (
        rng.choice(LIMITS)
        + rng.choice((0, 0, Fraction(1, 10**9), Fraction(-1, 10**9), Fraction(1, 100), -1))
        + Fraction(rng.randrange(-30, 31), 1000)
    )
    total_j = max(0, math.floor(pue * it_j)) if it_j else rng.choice((0, 10**13))
    width = rng.choice((0, 0, Fraction(1, 1000), Fraction(3, 100), Fraction(1, 2)))
    found = Fraction(total_j, it_j) if it_j else None
    lower = found - width if found is not None else rng.choice((None, Fraction(0), Fraction(2)))
    upper = found + width if found is not None else rng.choice((None, Fraction(5)))
    if rng.random() < 0.08:
        upper = None
    codes = (
        "required_meter_missing:m1",
        "bounds_from_other_meters:m1",
        "limit_refuted:m2",
        "accuracy_class_unknown:m1",
        "calibration_unknown:m2",
        "calibration_expired:m1",
        "clock_unsynchronised:m1",
    )
    reasons = [code for code in codes if rng.random() < 0.08]
    if not it_j:
        reasons.append("no_it_energy")
    return Period(
        to_ms - length,
        to_ms,
        total_j,
        it_j,
        rng.choice((None, it_j, it_j + 10**12, 10**16)),
        rng.choice((Fraction(1), Fraction(1), Fraction(1), Fraction(96, 100), Fraction(95, 100), Fraction(0))),
        rng.choice(
            (
                {},
                {},
                {"estimated": Fraction(5, 100)},
                {"estimated": Fraction(3, 100), "integrated": Fraction(2001, 100_000)},
                {"integrated": Fraction(1)},
            )
        ),
        rng.choice((None, 0.0, 0.0000004, 0.003, 0.0075, 0.0237))
        if found is None
        else rng.choice((0.0, 0.003, 0.0075, 0.0123456789, None)),
        found,
        None if lower is None else max(Fraction(0), lower),
        upper,
        tuple(reasons),
        tuple(c for c in ("balance_broken:m0", "pue_below_one", "no_it_load") if rng.random() < 0.06),
    )


@dataclass
class Case:
    facts: dict[str, Any]
    earlier: list[dict[str, Any]]
    window: Period | None


def case(seed: int) -> Case:
    rng = Random(f"finding {seed}")
    on = date(2025, 1, 1) + timedelta(days=rng.choice((0, 1, 364, 365, 546, 911, 1_000, 2_007)))
    to_ms = (on - date(1970, 1, 1)).days * 86_400_000
    window = period(rng, to_ms)
    own = facts(rng, on)
    if rng.random() < 0.7:  # so that many rules apply
        own |= {"stage": "existing", "build": "new", "standard_racks": 12_000, "transition_until": None}
    start = to_ms if window is None else window.from_ms
    own["operating_from_ms"] = rng.choice((None, 0, start, start + 1))
    earlier = []
    for _ in range(rng.choice((0, 0, 1, 2))):
        other = facts(rng, on - timedelta(days=rng.randrange(1, 300)))
        earlier.append({name: rng.choice((own[name], own[name], other[name])) for name in own} | {"on": other["on"]})
    return Case(own, earlier, window)
