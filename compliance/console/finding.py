"""One facility's findings: the headline with its grounds, the other rules in a line each, the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from markupsafe import Markup

from compliance.console import marks, numbers, words
from compliance.console.marks import RulerMark
from compliance.console.reader import View
from compliance.console.trend import limit_lines
from compliance.queries import Finding


@dataclass(frozen=True, slots=True)
class Fact:
    """A labelled value; `note` explains it, `code` is set where an icon belongs."""

    label: str
    value: str
    note: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Headline:
    """The finding that counts."""

    verdict: words.Verdict
    pue: str
    ruler: Markup
    limit_name: str
    limit: str
    margin: str
    over: bool
    facts: tuple[Fact, ...]
    decisions: tuple[Fact, ...]
    reasons: tuple[str, ...]
    rule: str
    citation: str
    quote: str
    binding: bool


@dataclass(frozen=True, slots=True)
class OtherRule:
    """A finding under another rule, in one line."""

    title: str
    citation: str
    verdict: words.Verdict
    limit: str
    pue: str
    reasons: tuple[str, ...]
    since: str
    binding: bool


def headline(first: Finding, findings: Sequence[Finding], view: View) -> Headline:
    """The finding that counts, arranged."""
    texts = view.texts
    rule = view.rules.get((first.profile, first.rule))
    margin = None if first.limit is None or first.pue is None else _difference(first.limit, first.pue)
    return Headline(
        verdict=words.verdict(first.outcome, texts, first.limit is not None),
        pue=view.reader.ratio(first.pue),
        ruler=_ruler(first, findings, view),
        limit_name=words.limit_name(first, texts),
        limit=numbers.limit(first.comparator, first.limit),
        margin=words.margin(margin, texts),
        over=first.outcome == "non_compliant",
        facts=_facts(first, view),
        decisions=_decisions(first, view),
        reasons=tuple(words.reasons(first.reasons, texts)),
        rule=rule_title(first, view),
        citation=_citation(first, view),
        quote=rule.quote if rule and rule.quote not in (rule.title, rule.title_en) else "",
        binding=first.binding,
    )


def rule_title(finding: Finding | None, view: View) -> str:
    """A finding's rule in the reader's language."""
    if finding is None:
        return ""
    rule = view.rules.get((finding.profile, finding.rule))
    return view.texts.pick(rule.title, rule.title_en) if rule else finding.rule


def _citation(finding: Finding, view: View) -> str:
    rule = view.rules.get((finding.profile, finding.rule))
    if rule is None:
        return finding.profile
    if not rule.clause:
        return rule.citation
    return view.texts("facility.citation", document=rule.citation, clause=rule.clause)


def _difference(limit: str, pue: str) -> str:
    return f"{Decimal(limit) - Decimal(pue):f}"


def _ruler(first: Finding, findings: Sequence[Finding], view: View) -> Markup:
    if first.pue is None:
        return marks.drawn("")
    lines = limit_lines(tuple(view.rules.values()), findings, view.texts)
    limits = [RulerMark(line.value, f"{line.value:g}", line.applies) for line in lines]
    lower, upper = (None if text is None else float(text) for text in (first.pue_lower, first.pue_upper))
    return marks.drawn(marks.ruler(float(first.pue), lower, upper, limits))


def _facts(finding: Finding, view: View) -> tuple[Fact, ...]:
    texts = view.texts
    period = numbers.period(finding.from_ms, finding.to_ms, view.zone)
    return (
        Fact(texts("facility.period"), period, texts.code("window", finding.period or "")),
        Fact(texts("facility.bounds"), words.bounds(finding, view.reader), texts("facility.bounds_help")),
        Fact(texts("facility.uncertainty"), _uncertainty(finding)),
        Fact(texts("facility.p_within"), numbers.percent(finding.p_within)),
        Fact(texts("facility.coverage"), numbers.percent(finding.coverage)),
        Fact(texts("facility.energy_total"), numbers.energy(finding.total_j)),
        Fact(texts("facility.energy_it"), numbers.energy(finding.it_j)),
        Fact(texts("facility.since"), numbers.day(finding.since)),
    )


def _uncertainty(finding: Finding) -> str:
    return numbers.NONE if finding.u_pue is None else f"±{float(finding.u_pue):.4f}"


def _decisions(finding: Finding, view: View) -> tuple[Fact, ...]:
    texts = view.texts
    rows = (("simple", finding.simple_outcome), ("guarded", finding.guarded_outcome))
    return tuple(
        Fact(
            texts(f"facility.{name}"),
            texts.code("outcome", outcome),
            texts("facility.counts") if finding.decision == name else "",
            outcome,
        )
        for name, outcome in rows
        if outcome
    )


def other_rule(finding: Finding, view: View) -> OtherRule:
    """A finding that is not the headline, arranged."""
    texts = view.texts
    return OtherRule(
        title=rule_title(finding, view),
        citation=_citation(finding, view),
        verdict=words.verdict(finding.outcome, texts, finding.limit is not None),
        limit=numbers.limit(finding.comparator, finding.limit),
        pue=view.reader.ratio(finding.pue),
        reasons=tuple(words.reasons(finding.reasons, texts)),
        since=numbers.day(finding.since),
        binding=finding.binding,
    )


def evidence(finding: Finding, view: View) -> tuple[Fact, ...]:
    """What a finding was computed from, by hash and position."""
    texts = view.texts
    positions = " · ".join(f"{shard}: {record:,}" for shard, record in sorted(finding.positions.items()))
    rows = {
        "hash": finding.evidence_hash,
        "seq": str(finding.seq),
        "positions": positions or numbers.NONE,
        "rule_version": f"{finding.profile} / {finding.rule} / {finding.rule_version}",
        "topology": str(finding.topology_version),
        "package": finding.package_version,
        "recorded": numbers.local(finding.recorded_at, view.zone),
    }
    return tuple(Fact(texts(f"evidence.{name}"), value) for name, value in rows.items())
