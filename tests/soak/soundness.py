"""Whether the truth lies inside the bounds of windows, counted over simulated plants.

python -m tests.soak soundness [--seed N] [--piece K]

What METHOD.md promises is tested as it stands: E_DC and E_IT are what the meters would have shown without steps; of a
meter that is missing, what flowed. A window in which a meter carried more than its stated maximum counts only if a rise
that its neighbours confirm refutes that maximum within the window: else the operator's word stands, and is wrong.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tests.bench.rows import Row, row
from tests.soak.measured import WindowResult, measured
from tests.soak.plant import DAY_MS, HOUR_MS, MJ_PER_J, SLOT_MS, Int64, Meter
from tests.soak.plants import Plant, plant, refutations, usable

PIECES = 6
NAME = "soundness: windows with the truth outside"
DEFECTS = (
    "coarse registers",
    "jitter",
    "gaps",
    "resets",
    "rollovers",
    "replacements",
    "cycling power",
    "slow replies",
    "missing meters",
    "limit refuted",
)
LEAST_SHARE = 0.05
BESIDE, NEAR = 3, 12
"""How many readings from an edge are beside it, and near it."""


@dataclass(frozen=True)
class Lot:
    """Plants of one length in one piece, and the windows that are taken of each."""

    plants: int
    days: int
    lengths: tuple[tuple[str, int, int], ...]
    """Name, length and number of windows. [-], [ms], [-]"""


LOTS = (
    Lot(178, 4, (("15m", SLOT_MS, 65), ("1h", HOUR_MS, 65), ("24h", DAY_MS, 65))),
    Lot(12, 34, (("30d", 30 * DAY_MS, 40),)),
    Lot(4, 369, (("365d", 365 * DAY_MS, 15),)),
)
LEAST_WINDOWS = {"15m": 20_000, "1h": 20_000, "24h": 20_000, "30d": 2_000, "365d": 200, "all": 200_000}


@dataclass(frozen=True)
class Tally:
    """Windows, and those with the truth outside, by length and by defect; "all" is both."""

    windows: Counter[str]
    outside: Counter[str]

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.windows + other.windows, self.outside + other.outside)


def piece(seed: int, number: int, lots: tuple[Lot, ...] = LOTS) -> dict[str, dict[str, int]]:
    """Count one piece: the same seed and number give the same windows."""
    tally = Tally(Counter(), Counter())
    for kind, lot in enumerate(lots):
        for index in range(lot.plants):
            tally += windows_of(np.random.default_rng((seed, number, kind, index)), lot)
    return {"windows": dict(tally.windows), "outside": dict(tally.outside)}


def rows(pieces: list[dict[str, dict[str, int]]]) -> list[Row]:
    """Figures of all pieces together."""
    windows, outside = (sum((Counter(part[name]) for part in pieces), Counter()) for name in ("windows", "outside"))
    return [
        row(NAME, outside["all"], "windows", "= 0"),
        *(
            row(f"soundness: windows, {length}", windows[length], "windows", f">= {least}")
            for length, least in LEAST_WINDOWS.items()
        ),
        *(
            row(
                f"soundness: share of windows, {defect}", windows[defect] / windows["all"], "share", f">= {LEAST_SHARE}"
            )
            for defect in DEFECTS
        ),
        *(row(f"soundness: truth outside, {defect}", outside[defect], "windows", "= 0") for defect in DEFECTS),
    ]


def windows_of(rng: np.random.Generator, lot: Lot) -> Tally:
    """All windows of one plant."""
    made = plant(rng, lot.days)
    begin, end = made.span[0] + HOUR_MS, made.span[1] - HOUR_MS
    result = measured(made.meters, begin, end)
    judge = Judge(made)
    windows: Counter[str] = Counter()
    outside: Counter[str] = Counter()
    for name, length_ms, number in lot.lengths:
        for start_ms in chosen_starts(rng, made, length_ms, number, (begin, end)):
            defects = judge.defects(start_ms, start_ms + length_ms)
            if defects is None:
                windows["limit not refuted"] += 1
                continue
            labels = ("all", name, *defects)
            windows.update(labels)
            if judge.is_outside(result(start_ms, start_ms + length_ms)):
                outside.update(labels)
    return Tally(windows, outside)


def chosen_starts(
    rng: np.random.Generator, made: Plant, length_ms: int, number: int, span: tuple[int, int]
) -> list[int]:
    """Starts of different windows inside the span: in most of them, or at one of their ends, something happens."""
    by_kind: dict[str, list[int]] = {}
    for meter in made.meters:
        for event in meter.events:
            by_kind.setdefault(event.kind, []).append(int(rng.integers(event.from_ms, event.to_ms + 1)))
        if meter.overloads:
            by_kind.setdefault("limit refuted", []).extend(refutations(meter)[0].tolist())
    kinds = [moments for moments in by_kind.values() if moments]
    slots = (span[1] - span[0] - length_ms) // SLOT_MS
    places: set[int] = set()
    for _ in range(20 * number):
        place = int(rng.integers(0, slots + 1))
        if kinds and rng.random() < 0.8:
            moments = kinds[rng.integers(len(kinds))]
            before_ms = (0, length_ms, int(rng.integers(0, length_ms)))[rng.integers(3)]
            start_ms = moments[rng.integers(len(moments))] - before_ms
            place = min(max((start_ms - span[0]) // SLOT_MS, 0), slots)
        places.add(place)
        if len(places) == number:
            break
    return [span[0] + place * SLOT_MS for place in sorted(places)]


class Judge:
    """Knows the truth of a plant, and which windows it can be asked of."""

    def __init__(self, made: Plant) -> None:
        self.made = made
        self.events: dict[str, Int64] = {}
        for meter in made.meters:
            for event in meter.events:
                pair = np.array([[event.from_ms, event.to_ms]])
                self.events[event.kind] = np.concatenate((self.events.get(event.kind, pair[:0]), pair))
        self.refuted = {meter.name: refutations(meter) for meter in made.meters if meter.overloads}
        self.usable = {meter.name: usable(meter) for meter in made.meters if meter.overloads}

    def defects(self, from_ms: int, to_ms: int) -> set[str] | None:
        """Defects in a window; None if a meter's stated maximum is wrong there and nothing shows it."""
        result = set(self.made.traits)
        for kind, spans in self.events.items():
            if bool(((spans[:, 0] < to_ms) & (spans[:, 1] > from_ms)).any()):
                result.add(kind)
        for meter in self.made.meters:
            if not meter.overloads:
                continue
            starts, ends = self.refuted[meter.name]
            if bool(((starts >= from_ms) & (ends <= to_ms)).any()):
                result.add("limit refuted")
                continue
            if self._is_believed_wrongly(meter, from_ms, to_ms):
                return None
        return result

    def _is_believed_wrongly(self, meter: Meter, from_ms: int, to_ms: int) -> bool:
        """Whether a meter carries more than stated in a window, or beside it, where nothing in the window shows it.

        Beside a window are the readings that bound its edges; what no rise refutes counts a few readings further.
        """
        starts, ends = self.refuted[meter.name]
        beside, near = self._around(meter, from_ms, to_ms, BESIDE), self._around(meter, from_ms, to_ms, NEAR)
        for start, end in meter.overloads:
            is_refuted = bool(((starts < end) & (ends > start)).any())
            since, until = beside if is_refuted else near
            if start < until and end > since:
                return True
        return False

    def _around(self, meter: Meter, from_ms: int, to_ms: int, readings: int) -> tuple[int, int]:
        """Time from so many usable readings before a window to as many after it."""
        t0_ms, t1_ms = self.usable[meter.name]
        before = int(np.searchsorted(t1_ms, from_ms)) - readings
        after = int(np.searchsorted(t0_ms, to_ms)) + readings
        since = int(t0_ms[before]) if before >= 0 else self.made.span[0]
        until = int(t1_ms[after]) if after < len(t1_ms) else self.made.span[1]
        return since, until

    def is_outside(self, result: WindowResult) -> bool:
        """Whether any bound of a window's result leaves the truth outside."""
        edges = np.array([result.from_ms, result.to_ms])
        energies = [int(np.diff(meter.indicated_mj(edges))[0]) for meter in self.made.meters]
        total = max(sum(meter.a * energy for meter, energy in zip(self.made.meters, energies, strict=True)), 0)
        it = max(sum(meter.b * energy for meter, energy in zip(self.made.meters, energies, strict=True)), 0)
        inside = (
            result.total_lower_j * MJ_PER_J <= total <= result.total_upper_j * MJ_PER_J
            and result.it_lower_j * MJ_PER_J <= it <= result.it_upper_j * MJ_PER_J
        )
        if not inside or it <= 0:
            return not inside
        pue = Fraction(total, it)
        lower, upper = result.pue_lower, result.pue_upper
        return (lower is not None and lower > pue) or (upper is not None and upper < pue)
