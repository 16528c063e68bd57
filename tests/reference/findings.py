"""METHOD.md, "Finding": a rule as plain data, facts and a window to an outcome and its reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any, NamedTuple

from tests.reference.page import number, whole

GUARD = number("guard band w = # u, one-sided 95 %")
BELOW_ONE = whole("`pue_below_one`: PUE + # u < 1, with u = 0 where it is not known")
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
SHORTEST_MS = whole("A window shorter than # days less two hours") * DAY_MS - 2 * HOUR_MS
LONGEST_MS = whole("or longer than # days and two hours, is refused") * DAY_MS + 2 * HOUR_MS
DEFAULTS = {
    "min_coverage": number("coverage < # % (`min_coverage`)") / 100,
    "max_estimated": number("energy together > # % (`max_estimated`)") / 100,
    "min_it_load": number("E_IT < # % (the rule's `min_it_load`)") / 100,
}

Facts = Mapping[str, Any]
Rule = Mapping[str, Any]


@dataclass(frozen=True)
class Period:
    """What a finding looks at of a window."""

    from_ms: int
    to_ms: int
    total_j: int
    it_j: int
    it_upper_j: int | None
    coverage: Fraction
    shares: Mapping[str, Fraction]
    u_pue: float | None
    pue: Fraction | None
    pue_lower: Fraction | None
    pue_upper: Fraction | None
    reasons: tuple[str, ...]
    contradictions: tuple[str, ...]


class Found(NamedTuple):
    outcome: str
    reasons: tuple[str, ...]
    binding: bool
    simple: str | None = None
    guarded: str | None = None
    p_within: str | None = None


class Refused(ValueError):
    """The window is no year."""


# Scope


def years_later(day: date, years: int) -> date:
    """ "Scope": from 29 February they end on 1 March."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)


def scale_of(rule: Rule, racks: int) -> str:
    if racks >= rule["scale"]["very_large"]:
        return "very_large"
    return "large" if racks >= rule["scale"]["large"] else "small_medium"


def in_range(value: date, least: date | None, before: date | None) -> bool:
    return (least is None or least <= value) and (before is None or value < before)


def scope(rule: Rule, facts: Facts) -> tuple[list[str], list[str]]:
    """ "Scope": conditions that do not hold, and facts that are not registered, in order."""
    applies = rule["applies_to"]
    day = facts["on"]
    fails: list[str] = []
    unknown: list[str] = []

    def check(code: str, holds: bool) -> None:
        if not holds:
            fails.append(code)

    where = rule["jurisdiction"]
    check("outside_jurisdiction", facts["region"].isdigit() if where == "CN" else facts["region"].startswith(where))
    to = None if rule["status"] == "target_expired" else rule["effective_to"]
    check("not_effective", in_range(day, rule["effective_from"], to))
    check("rule_for_groups", rule["subject"] == "facility")
    check("build_not_covered", not applies["build"] or facts["build"] in applies["build"])
    check("stage_not_covered", not applies["stage"] or facts["stage"] in applies["stage"])
    if applies["scale"]:
        if facts["standard_racks"] is None:
            unknown.append("racks_unknown")
        else:
            check("scale_not_covered", scale_of(rule, facts["standard_racks"]) in applies["scale"])
    if applies["hub"] != "any":
        if facts["hub_cluster"] is None:
            unknown.append("hub_unknown")
        else:
            check("hub_not_covered", (facts["hub_cluster"] != "") == (applies["hub"] == "inside"))
    for fact, least, code in (
        ("it_power_kw", "min_it_power_kw", "it_power"),
        ("annual_kwh", "min_annual_kwh", "annual_energy"),
    ):
        if applies[least] is not None:
            if facts[fact] is None:
                unknown.append(f"{code}_unknown")
            else:
                check(f"{code}_not_covered", facts[fact] >= applies[least])
    for fact, code, stem in (
        ("approved_on", "approval_date", "approved"),
        ("commissioned_on", "commissioning_date", "commissioned"),
    ):
        least, before = applies[f"{stem}_from"], applies[f"{stem}_before"]
        if least is not None or before is not None:
            if facts[fact] is None:
                unknown.append(f"{code}_unknown")
            else:
                check(f"{code}_not_covered", in_range(facts[fact], least, before))
    if applies["grace_years"]:
        if facts["commissioned_on"] is None:
            unknown.append("commissioning_date_unknown")
        else:
            check("in_grace_period", years_later(facts["commissioned_on"], applies["grace_years"]) <= day)
    return fails, list(dict.fromkeys(unknown))


def membership(rule: Rule, facts: Facts) -> str:
    fails, unknown = scope(rule, facts)
    return "out" if fails else "unknown" if unknown else "in"


def is_reclassified(rule: Rule, facts: Facts, earlier: Sequence[Facts]) -> bool:
    """ "Change of class": earlier facts would have put the facility elsewhere, asked for the closing day."""
    now = membership(rule, facts)
    return any(membership(rule, {**e, "on": facts["on"]}) != now for e in earlier)


# Binding


def unbinding(rule: Rule, facts: Facts) -> list[str]:
    """ "Binding": what takes it away, in the order of the table of reasons."""
    applies = rule["applies_to"]
    is_on_pue = rule["kind"] in ("limit", "duty")
    dates = ("approved_from", "approved_before", "commissioned_from", "commissioned_before")
    until = facts["transition_until"]
    causes = [
        ("rule_is_draft", rule["status"] == "draft"),
        ("target_expired", rule["status"] == "target_expired"),
        ("rule_is_voluntary", rule["strength"] == "voluntary"),
        ("text_not_verified", rule["citation"]["source"] not in ("original", "reproduction")),
        ("period_not_set", is_on_pue and rule["period_source"] != "text"),
        ("cutoff_not_set", "new" in applies["build"] and all(applies[d] is None for d in dates)),
        ("threshold_assumed", bool(applies["scale"]) and rule["scale_source"] != "text"),
        ("in_transition", until is not None and facts["on"] < until),
    ]
    return [code for code, holds in causes if holds]


# Decisions


def is_within(rule: Rule, value: Fraction) -> bool:
    """ "Decisions": `<=` and `>` let the limit itself pass, `<` and `>=` do not."""
    limit: Fraction = rule["limit"]
    return value <= limit if rule["comparator"] in ("<=", ">") else value < limit


def rounded_u(window: Period) -> Fraction | None:
    """ "Probability and guard band": u is first rounded to six decimals."""
    return None if window.u_pue is None else Fraction(f"{window.u_pue:.6f}")


def is_class_unknown(window: Period) -> bool:
    return any(r.startswith("accuracy_class_unknown") for r in window.reasons)


def decide(rule: Rule, window: Period, guard: Fraction | None) -> str:
    """ "Decisions": by the bounds, with a guard band."""
    if guard is None:
        return "indeterminate"
    if window.pue_lower is not None and not is_within(rule, window.pue_lower - guard):
        return "non_compliant"
    if window.pue_upper is not None and is_within(rule, window.pue_upper + guard):
        return "compliant"
    return "indeterminate"


def p_within(rule: Rule, window: Period) -> str | None:
    """ "Probability and guard band": taken at the upper bound."""
    u = rounded_u(window)
    if u is None or window.pue_upper is None or is_class_unknown(window):
        return None
    if u == 0:
        return f"{int(is_within(rule, window.pue_upper)):.6f}"
    distance = float((rule["limit"] - window.pue_upper) / u)
    return f"{0.5 * math.erfc(-distance / math.sqrt(2)):.6f}"


# Contradictions and gates


def gate(rule: Rule, name: str) -> Fraction:
    """The rule's own, or the page's."""
    own = rule["gates"].get(name)
    return DEFAULTS[name] if own is None else Fraction(own)


def design_j(facts: Facts, window: Period) -> Fraction | None:
    """Design load x length of the window. [J]"""
    if facts["it_power_kw"] is None:
        return None
    return Fraction(facts["it_power_kw"]) * (window.to_ms - window.from_ms)


def contradictions(rule: Rule, facts: Facts, window: Period) -> list[str]:
    """ "Outcome of a rule on PUE", 4."""
    result = list(window.contradictions)
    if window.pue is None and window.coverage >= gate(rule, "min_coverage"):
        result.append("no_it_energy")
    design = design_j(facts, window)
    if design is not None and window.total_j > 0:
        least = gate(rule, "min_it_load") * design * window.coverage
        result += ["it_load_too_low"] if window.it_j < least else []
    if window.pue is not None and window.pue + BELOW_ONE * (rounded_u(window) or 0) < 1:
        result.append("pue_below_one")
    return list(dict.fromkeys(result))


def closed_gates(rule: Rule, window: Period) -> list[str]:
    """ "Outcome of a rule on PUE", 5."""
    result = []
    if window.coverage < gate(rule, "min_coverage"):
        result.append("coverage_below_gate")
    shares = sum((window.shares.get(name, Fraction(0)) for name in ("estimated", "integrated")), Fraction(0))
    if shares > gate(rule, "max_estimated"):
        result.append("estimated_above_gate")
    result += [r for r in window.reasons if r.split(":")[0] in rule["gates"]["refuses"]]
    return result


# Findings


def judge(rule: Rule, facts: Facts, window: Period | None, earlier: Sequence[Facts] = ()) -> Found:
    """ "Finding"."""
    is_on_pue = rule["kind"] in ("limit", "duty")
    fails, _ = scope(rule, facts)
    last = ["reclassified_in_period"] if is_reclassified(rule, facts, earlier) else []
    causes = unbinding(rule, facts)
    if fails:
        return Found("not_applicable", unique([*fails, *last]), False)
    if is_on_pue:
        if window is not None and not SHORTEST_MS <= window.to_ms - window.from_ms <= LONGEST_MS:
            raise Refused
        found = on_pue(rule, facts, window)
        of_window = list(window.reasons) if window is not None else []
        middle = ["decision_not_set"] if rule["decision_source"] != "text" else []
    else:
        found = on_facts(rule, facts)
        of_window = []
        middle = []
    return found._replace(reasons=unique([*found.reasons, *of_window, *causes, *middle, *last]), binding=not causes)


def unique(codes: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(codes))


def on_pue(rule: Rule, facts: Facts, window: Period | None) -> Found:
    """ "Outcome of a rule on PUE": the first that applies."""
    _, unknown = scope(rule, facts)
    if window is None:
        want = "no_energy_data" if facts["stage"] == "existing" else "not_in_operation"
        return Found("insufficient_data", (*unknown, want), False)
    probability = p_within(rule, window)
    broken = contradictions(rule, facts, window)
    gates = closed_gates(rule, window)
    since = facts["operating_from_ms"]
    is_incomplete = since is not None and since > window.from_ms
    if unknown or is_incomplete:
        incomplete = ["window_incomplete"] if is_incomplete else []
        return Found("insufficient_data", (*unknown, *incomplete, *broken, *gates), False, p_within=probability)
    u = rounded_u(window)
    raw_simple = decide(rule, window, Fraction(0))
    raw_guarded = decide(rule, window, None if u is None else GUARD * u)
    simple = without_class(raw_simple, window)
    guarded = without_class(raw_guarded, window)
    deciding = simple if rule["decision"] == "simple" else guarded
    result = Found("", (), False, simple, guarded, probability)
    if deciding == "non_compliant" and is_proved(facts, window, broken):
        more = ["bound_breaks_limit", *broken, *gates] if broken or gates else []
        return result._replace(outcome="non_compliant", reasons=("pue_over_limit", *more))
    if broken:
        return Found("invalid_data", (*broken, *gates), False, p_within=probability)
    if gates:
        return Found("insufficient_data", tuple(gates), False, p_within=probability)
    if deciding == "compliant":
        return result._replace(outcome="compliant", reasons=("pue_within_limit",))
    if raw_simple == "indeterminate":
        why = "bounds_span_limit"
    elif u is None or is_class_unknown(window):
        why = "uncertainty_unknown"
    else:
        why = "within_guard_band"
    return result._replace(outcome="indeterminate", reasons=(why,))


def without_class(decision: str, window: Period) -> str:
    """ "Nothing is assumed unmarked": with an unknown class neither decision says `compliant`."""
    return "indeterminate" if decision == "compliant" and is_class_unknown(window) else decision


def is_proved(facts: Facts, window: Period, broken: Sequence[str]) -> bool:
    """ "Outcome of a rule on PUE", 3: with `it_load_too_low` bounds prove a breach only at design load."""
    if "it_load_too_low" not in broken:
        return True
    design = design_j(facts, window)
    return window.it_upper_j is None or design is None or window.it_upper_j >= design


def on_facts(rule: Rule, facts: Facts) -> Found:
    """ "Rules on facts": the first that applies."""
    _, unknown = scope(rule, facts)
    if unknown:
        return Found("insufficient_data", tuple(unknown), False)
    if rule["kind"] == "certificate":
        if not facts["green_grade"] or not facts["green_grade_certificate"]:
            return Found("insufficient_data", ("certificate_missing",), False)
        if facts["green_grade"] < rule["min_grade"]:
            return Found("non_compliant", ("grade_too_low",), False)
        if facts["green_grade_valid_to"] is None:
            return Found("insufficient_data", ("certificate_validity_unknown",), False)
        if facts["on"] >= facts["green_grade_valid_to"]:
            return Found("insufficient_data", ("certificate_expired",), False)
        return Found("compliant", ("certificate_valid",), False)
    if rule["kind"] == "siting":
        if facts["hub_cluster"] is None:
            return Found("insufficient_data", ("hub_unknown",), False)
        if facts["hub_cluster"]:
            return Found("compliant", ("inside_hub",), False)
        if rule["strength"] == "soft" and facts["siting_exception"]:
            return Found("compliant", ("outside_hub", "exception_recorded"), False)
        return Found("non_compliant", ("outside_hub",), False)
    if facts["incentives"] is None:
        return Found("insufficient_data", ("incentives_unknown",), False)
    if facts["incentives"]:
        return Found("non_compliant", ("incentive_recorded",), False)
    return Found("compliant", ("no_incentive_recorded",), False)
