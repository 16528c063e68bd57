"""Codes and rows in the reader's words, as far as both pages need them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from compliance.console import numbers
from compliance.console.language import Texts
from compliance.console.reader import Reader
from compliance.queries import Alert, Facility, Finding, Pue, Rule
from pue.contract.quality import Flag
from pue.judgement.reasons import reason_text

NO_FINDING = "none"
SEVERITY = (
    "non_compliant",
    "indeterminate",
    "invalid_data",
    "insufficient_data",
    NO_FINDING,
    "compliant",
    "not_applicable",
)
"""Outcomes in the order in which people have to look at them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome as a code (for icon and colour), a word and a sentence."""

    code: str
    word: str
    meaning: str


def verdict(outcome: str | None, texts: Texts, has_limit: bool = True) -> Verdict:
    """The words for an outcome; of a rule that sets no limit it is met or not."""
    code = outcome or NO_FINDING
    word = texts.code("outcome", code)
    if not has_limit:
        word = texts.by_key.get(f"fact_outcome.{code}", word)
    return Verdict(code, word, texts.by_key.get(f"meaning.{code}", ""))


def margin(text: str | None, texts: Texts) -> str:
    """How far a ratio lies below or over its limit; `text` is limit - pue."""
    if text is None:
        return numbers.NONE
    if float(text) == 0:
        return texts("margin.at")
    return texts("margin.over" if text.startswith("-") else "margin.below", value=numbers.distance(text))


def limit_name(row: Rule | Finding, texts: Texts) -> str:
    """What a rule's limit is called: a limit, or the line over which a duty arises."""
    if row.kind != "duty":
        return texts("limit.limit")
    return texts.by_key.get(f"limit.{row.consequence}", texts("limit.duty"))


def reasons(codes: Iterable[str], texts: Texts) -> list[str]:
    """A sentence per reason; what stands behind the codes' colons (meters) is named after it."""
    about: dict[str, list[str]] = {}
    for code in codes:
        name, _, detail = code.partition(":")
        about.setdefault(name, []).extend([detail] if detail else [])
    return [_sentence(name, details, texts) for name, details in about.items()]


def _sentence(reason: str, details: list[str], texts: Texts) -> str:
    text = reason_text(reason)
    return texts.pick(text.zh, text.en) + (f" ({', '.join(details)})" if details else "")


def flags(bits: int, texts: Texts) -> list[str]:
    """Words for the marks set; bits this version does not know are shown by number."""
    known = [flag for flag in Flag if flag and bits & flag]
    rest = bits & ~sum(known)
    return [texts(f"flag.{(flag.name or '').lower()}") for flag in known] + ([f"0x{rest:x}"] if rest else [])


def facility_class(facility: Facility, texts: Texts) -> str:
    """Kind of build and scale, which decide the rule."""
    build = texts.code("build", facility.build)
    return texts("facility.class", build=build, scale=texts.code("scale", facility.scale))


def alert_kind(alert: Alert, texts: Texts) -> str:
    """What an alert is about."""
    return texts.code("alert", alert.kind)


def bounds(row: Pue | Finding, reader: Reader) -> str:
    """Hard bounds, rounded outwards; an open end is infinite."""
    if row.pue is None:
        return numbers.NONE
    lower = "−∞" if row.pue_lower is None else reader.ratio(row.pue_lower, -1)
    upper = "+∞" if row.pue_upper is None else reader.ratio(row.pue_upper, 1)
    return f"{lower} – {upper}"
