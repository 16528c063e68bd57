"""Everything a finding was computed from, as one hash; and the same hash computed again from today's data."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from compliance.judging import Judged, judge_at
from compliance.log import Event
from compliance.measure import Measure, Measured
from compliance.registry import Registry
from compliance.terms import HeldFacts
from pue.contract.canonical import content_hash, sha256_hex
from pue.energy.grid import Term
from pue.energy.rolling import WindowResult
from pue.energy.uncertainty import round_micro
from pue.energy.windows import window_bounds
from pue.judgement.findings import Facts
from pue.judgement.policy import Rule

_TERM_INPUTS = tuple(column.name for column in fields(Term) if column.name != "u_rel")
"""All that is registered of a term; u is hashed as it is compared, to six decimals."""


def evidence_hash(one: Judged, measured: Measured) -> str:
    """SHA-256 over all inputs of a finding: rule, facts, weights, every meter's energy and gap in every slot."""
    inputs = {
        "rule": one.finding.rule,
        "rule_version": one.finding.rule_version,
        "facts": _facts_inputs(one.facts),
        "earlier": [_facts_inputs(facts) for facts in one.earlier],
        "window": _window_inputs(one.window, measured) if one.window else None,
    }
    return content_hash(inputs)


def recomputed_hash(event: Event, rule: Rule, registry: Registry, measure: Measure) -> str | None:
    """Hash of a finding's inputs with the registry as it was then and the data as they are now.

    None if nothing is left to compute it from.
    """
    facility_id = event.body["facility"]
    as_of_ms = event.body["as_of_ms"]
    seq = event.body["registry_seq"]
    facility = registry.facility(facility_id, seq)
    measured = measure.afresh(facility) if facility else None
    if facility is None or measured is None:
        return None
    facts = HeldFacts(registry.facts_over_time(facility_id, seq), measured.first_ms)
    window = None
    if rule.period is not None:
        from_ms, to_ms = window_bounds(rule.period, as_of_ms, ZoneInfo(facility.facts.timezone))
        if not measured.first_ms < to_ms <= measured.watermark_ms:
            return None
        window = measured.window(from_ms, to_ms)
    return evidence_hash(judge_at(rule, as_of_ms, facts, window), measured)


def _facts_inputs(facts: Facts) -> dict[str, Any]:
    return {name: _plain(value) for name, value in asdict(facts).items()}


def _window_inputs(window: WindowResult, measured: Measured) -> dict[str, Any]:
    curve = measured.curve
    start, end = (int(np.searchsorted(curve.edges_ms, at_ms)) for at_ms in (window.from_ms, window.to_ms))
    rows = np.flatnonzero(curve.meter_slots[:, end] > curve.meter_slots[:, start])  # terms of other times say nothing
    return {
        "from_ms": window.from_ms,
        "to_ms": window.to_ms,
        "terms": [
            {name: _plain(getattr(term, name)) for name in _TERM_INPUTS} | {"u_rel": str(round_micro(term.u_rel))}
            for term in (curve.terms[row] for row in rows)
        ],
        "energy_sha256": _columns_hash(np.diff(curve.meter_j[rows, start : end + 1])),
        "gap_sha256": _columns_hash(np.diff(curve.meter_gap_ms[rows, start : end + 1])),
        "total_j": [window.total_j, window.total_lower_j, window.total_upper_j],
        "it_j": [window.it_j, window.it_lower_j, window.it_upper_j],
        "reasons": list(window.reasons),
        "contradictions": list(window.contradictions),
    }


def _columns_hash(columns: np.ndarray[Any, np.dtype[np.int64]]) -> str:
    return sha256_hex(np.ascontiguousarray(columns, dtype="<i8").tobytes())


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else str(value)
