"""Plain data to what `pue` takes, and what it gives to plain data: the only file here that knows `pue`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from pue.contract.errors import Fatal
from pue.contract.quality import Flag
from pue.contract.series import SeriesKey
from pue.energy.facility import facility_curve
from pue.energy.grid import Term
from pue.energy.power import power_slots
from pue.energy.registers import RegisterVersion, register_slots
from pue.energy.rolling import WindowResult, window_result
from pue.energy.slots import Samples, Slots
from pue.judgement.findings import Facts, Finding, judge
from pue.judgement.policy import Rule, load_profile
from tests.reference import facility, findings, hostile
from tests.reference.exact import OUT_OF_RANGE
from tests.reference.registers import Reading, Slot, Version

COLUMNS = (
    "start_ms",
    "energy_j",
    "unknown_j",
    "under_j",
    "over_j",
    "gap_ms",
    "below_j",
    "above_j",
    "below_capped_j",
    "above_capped_j",
)


def samples(readings: Sequence[Reading]) -> Samples:
    columns = np.array([[r.t0, r.t1, r.count, r.quality, r.order] for r in readings], dtype=np.int64).reshape(-1, 5)
    return Samples(*(columns[:, i].copy() for i in range(5)))


def version(v: Version) -> RegisterVersion:
    return RegisterVersion(v.from_ms, v.to_ms, v.step, v.modulus, v.power_w, v.declared, v.same_serial, v.ramp)


def slots(kind: str, readings: Sequence[Reading], versions: Sequence[Version], max_gap_ms: int) -> list[Slot]:
    make = power_slots if kind == "power" else register_slots
    return plain(make(samples(readings), [version(v) for v in versions], max_gap_ms=max_gap_ms))


def plain(found: Slots) -> list[Slot]:
    return [
        Slot(**{name: int(getattr(found, name)[i]) for name in COLUMNS}, marks=marks(int(found.flags[i])))
        for i in range(len(found.start_ms))
    ]


def marks(flags: int) -> set[str]:
    return {flag.name for flag in Flag if flag & flags and flag.name is not None}


def table(found: Sequence[Slot]) -> Slots:
    columns = [np.array([getattr(s, name) for s in found], dtype=np.int64) for name in COLUMNS]
    flags = np.array([sum(int(Flag[name]) for name in s.marks) for s in found], dtype=np.int64)
    nothing = np.zeros(len(found), dtype=np.int64)
    return Slots(*[*columns, flags, nothing, nothing.copy()])


def key(meter: str) -> SeriesKey:
    return SeriesKey("s", meter, "energy_import")


def term(t: facility.Term) -> Term:
    return Term(
        key(t.meter),
        t.a,
        t.b,
        t.required,
        t.from_ms,
        t.to_ms,
        parent=t.parent,
        u_rel=float(t.u),
        limit_rel=t.limit,
        is_class_known=t.is_class_known,
        group=t.group,
        model=t.model,
        calibrated_to_ms=t.calibrated_to_ms,
        is_calibration_known=t.is_calibration_known,
        step_j=t.step_j,
        max_power_w=t.power_w,
    )


def windows(case: hostile.Facility) -> list[facility.Window]:
    curve = facility_curve(
        {key(name): table(found) for name, found in case.slots.items()},
        [term(t) for t in case.terms],
        case.from_ms,
        case.to_ms,
        zone=ZoneInfo(case.zone),
        least_it_w=case.least_it_w,
    )
    return [window(window_result(curve, from_ms, to_ms)) for from_ms, to_ms in case.windows]


def window(w: WindowResult) -> facility.Window:
    def upper(value: int) -> int | None:
        return None if value >= OUT_OF_RANGE else value

    return facility.Window(
        w.total_j,
        w.it_j,
        (w.total_lower_j, upper(w.total_upper_j)),
        (w.it_lower_j, upper(w.it_upper_j)),
        w.coverage,
        marks(w.flags),
        {name: share for name, share in w.quality_share.items() if share},
        w.u_pue,
        w.pue,
        w.pue_lower,
        w.pue_upper,
        w.reasons,
        w.contradictions,
    )


POLICIES = ("beijing-2024", "cn-national", "de-enefg", "shenzhen-2024", "yunnan-2022-draft")


def rules() -> list[Rule]:
    """All rules that come with the package."""
    return [rule for name in POLICIES for rule in load_profile(name).rules]


def plain_rule(rule: Rule) -> dict[str, Any]:
    """A rule as plain data."""
    data: dict[str, Any] = {f.name: getattr(rule, f.name) for f in dataclasses.fields(rule)}
    for name in ("scale", "applies_to", "gates", "citation"):
        data[name] = dict(data[name])
    for name in ("status", "kind", "scale_source"):
        data[name] = str(getattr(data[name], "value", data[name]))
    return data


def finding(rule: Rule, case: hostile.Case) -> findings.Found | None:
    """None if the window is no year."""
    p = case.window
    result = None
    if p is not None:
        unbounded = OUT_OF_RANGE if p.it_upper_j is None else p.it_upper_j
        result = WindowResult(
            p.from_ms,
            p.to_ms,
            p.total_j,
            p.it_j,
            0,
            OUT_OF_RANGE,
            0,
            unbounded,
            p.coverage,
            0,
            p.shares,
            p.u_pue,
            p.pue,
            p.pue_lower,
            p.pue_upper,
            p.reasons,
            p.contradictions,
        )
    try:
        return plain_finding(judge(rule, Facts(**case.facts), result, [Facts(**e) for e in case.earlier]))
    except Fatal:
        return None


def plain_finding(f: Finding) -> findings.Found:
    simple = None if f.simple_outcome is None else str(f.simple_outcome.value)
    guarded = None if f.guarded_outcome is None else str(f.guarded_outcome.value)
    return findings.Found(str(f.outcome.value), f.reasons, f.binding, simple, guarded, f.p_within)
