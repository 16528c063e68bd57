"""What the product must find, by the plant's own arithmetic: true energies, accuracy classes, plain limits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from pue.contract.series import slot_of
from simulators.meters import CLASS_PERCENT, VirtualMeter
from simulators.plant import DAY_MS
from simulators.scenario import Site, trailing_year

LARGE_RACKS = 3_000
NEW_BUILD = "new_build_pue_max"
RETROFIT = "retrofit_pue_over"
NEW_BUILD_LIMIT = Fraction(13, 10)
RETROFIT_LIMIT = Fraction(15, 10)
FACTS = {"green_grade_min": "compliant", "hub_siting": "non_compliant", "no_preferential_policy": "compliant"}
"""Rules on registered facts: the demo's new sites have a valid 4A certificate, no favours, and lie outside the hubs."""
MIN_COVERAGE = 0.96
GUARD = 1.645
"""One-sided 95 % of a normal distribution: the guard band of JCGM 106. [-]"""
RESOLUTION_COUNTS = 2
"""A register can be off by one count at either end of a window."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the product must say of one facility; `tolerance` is how far its meters' classes allow PUE to be off."""

    facility: str
    true_pue: Fraction
    true_pue_30d: Fraction
    tolerance: float
    outcomes: dict[str, str]
    alerts: frozenset[str]
    """Kinds of active alerts."""
    silent_meters: frozenset[str]
    window_ms: tuple[int, int]

    @property
    def is_complete(self) -> bool:
        """Whether every needed meter measured the legal period."""
        return not self.silent_meters


def expected(site: Site) -> Expected:
    """Work out findings and alerts of one facility."""
    window = trailing_year(site.until_ms)
    month_end = slot_of(site.until_ms)
    true_pue = site.plant.true_pue(*window)
    month = site.plant.true_pue(month_end - 30 * DAY_MS, month_end)
    silent = _silent(site, window)
    return Expected(
        facility=site.spec.id,
        true_pue=true_pue,
        true_pue_30d=month,
        tolerance=_tolerance(site, window),
        outcomes=_outcomes(site, window, bool(silent)),
        alerts=_alerts(site, month, bool(silent)),
        silent_meters=silent,
        window_ms=window,
    )


def _outcomes(site: Site, window: tuple[int, int], is_silent: bool) -> dict[str, str]:
    judged = "insufficient_data" if is_silent else ""
    pue = float(site.plant.true_pue(*window))
    guard = GUARD * _uncertainty(site, window)
    retrofit = {RETROFIT: judged or _guarded(pue, guard, float(RETROFIT_LIMIT))}
    if not _is_new_large(site):
        return retrofit | dict.fromkeys((NEW_BUILD, *FACTS), "not_applicable")
    return retrofit | {NEW_BUILD: judged or _guarded(pue, guard, float(NEW_BUILD_LIMIT))} | FACTS


def _guarded(pue: float, guard: float, limit: float) -> str:
    if pue + guard <= limit:
        return "compliant"
    return "non_compliant" if pue - guard > limit else "indeterminate"


def _alerts(site: Site, month: Fraction, is_silent: bool) -> frozenset[str]:
    limit = NEW_BUILD_LIMIT if _is_new_large(site) else RETROFIT_LIMIT
    if is_silent:
        return frozenset({"meter_silent"})
    return frozenset({"pue_over_limit"}) if month > limit else frozenset()


def _is_new_large(site: Site) -> bool:
    return site.spec.build == "new" and site.spec.standard_racks >= LARGE_RACKS


def _silent(site: Site, window: tuple[int, int]) -> frozenset[str]:
    """Needed meters that miss more of the window than is allowed."""
    allowed_ms = (1 - MIN_COVERAGE) * (window[1] - window[0])
    return frozenset(
        meter.spec.id for meter in site.meters if meter.spec.required and sum(_overlaps(meter, window)) > allowed_ms
    )


def _overlaps(meter: VirtualMeter, window: tuple[int, int]) -> list[int]:
    until_ms = meter.plant.until_ms
    return [
        max(0, min(until_ms + end, window[1]) - max(until_ms + begin, window[0])) for begin, end in meter.spec.silent_ms
    ]


def _tolerance(site: Site, window: tuple[int, int]) -> float:
    """Largest error of PUE when every meter errs to the limit of its class and by its resolution. [-]"""
    total = site.plant.window_j("facility", *window)
    it = site.plant.window_j("it", *window)
    total_error, it_error = (_error_j(site, window, weight) for weight in (_weight_total, _weight_it))
    return (total + total_error) / (it - it_error) - total / it


def _error_j(site: Site, window: tuple[int, int], weight: Callable[[VirtualMeter], float]) -> float:
    return sum(
        abs(weight(meter))
        * (meter.spec.error_limit * meter.plant.window_j(meter.spec.feed, *window) + RESOLUTION_COUNTS * meter.count_j)
        for meter in site.meters
    )


def _uncertainty(site: Site, window: tuple[int, int]) -> float:
    """Standard uncertainty of PUE: classes as rectangular limits, meters of one model and class erring alike. [-]

    Errors of one model that push PUE the same way add; none is taken to cancel another.
    """
    pue = float(site.plant.true_pue(*window))
    alike: dict[tuple[str, str, str, str, bool], float] = {}
    for meter in site.meters:
        push = _push(meter, pue, window)
        spec = meter.spec
        source = (spec.profile, spec.meter_class, spec.ct_class, spec.pt_class, push > 0)
        alike[source] = alike.get(source, 0.0) + push
    return math.hypot(*alike.values())


def _push(meter: VirtualMeter, pue: float, window: tuple[int, int]) -> float:
    """How far PUE moves if a meter errs by its standard uncertainty. [-]"""
    share = meter.plant.window_j(meter.spec.feed, *window) / meter.plant.window_j("it", *window)
    return (_weight_total(meter) - pue * _weight_it(meter)) * share * _relative_uncertainty(meter)


def _relative_uncertainty(meter: VirtualMeter) -> float:
    spec = meter.spec
    limits = (CLASS_PERCENT[name] / 100 for name in (spec.meter_class, spec.ct_class, spec.pt_class))
    return math.hypot(*limits) / math.sqrt(3)


def _weight_total(meter: VirtualMeter) -> float:
    return float(Fraction(meter.spec.a))


def _weight_it(meter: VirtualMeter) -> float:
    return float(Fraction(meter.spec.b))
