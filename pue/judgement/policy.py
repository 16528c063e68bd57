"""Rules as dated data: who they bind, which limit they set, where it is written."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction
from importlib import resources
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pue.contract.canonical import content_hash, sha256_hex
from pue.contract.errors import Fatal
from pue.contract.settings import Settings, parse

Build = Literal["new", "existing", "rebuild", "expansion"]
Stage = Literal["existing", "under_construction", "proposed"]
ScaleClass = Literal["small_medium", "large", "very_large"]
Grade = Literal["1A", "2A", "3A", "4A", "5A"]
DecimalText = Annotated[str, Field(pattern=r"^\d+(\.\d+)?$")]
Jurisdiction = Annotated[str, Field(pattern=r"^(\d{2}|\d{4}|\d{6}|[A-Z]{2})$")]
ScaleSource = Literal["text", "assumed"]
Refusal = Literal[
    "limit_refuted", "accuracy_class_unknown", "calibration_unknown", "calibration_expired", "clock_unsynchronised"
]
"""What a window's meters may be marked with and a rule may refuse to be judged on."""
Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Text = Annotated[str, Field(min_length=1)]


class Kind(StrEnum):
    """What a rule looks at."""

    LIMIT = "limit"
    """PUE has to satisfy comparator and limit."""
    DUTY = "duty"
    """A duty arises where PUE satisfies comparator and limit."""
    CERTIFICATE = "certificate"
    """A certificate of at least `min_grade` has to be on file."""
    SITING = "siting"
    """The facility has to stand inside a national hub cluster."""
    INCENTIVE = "incentive"
    """No preferential policy may be granted."""


PUE_KINDS = (Kind.LIMIT, Kind.DUTY)
_COMPARATORS = {Kind.LIMIT: ("<=", "<"), Kind.DUTY: (">", ">=")}


class Status(StrEnum):
    """Whether a rule can bind."""

    DRAFT = "draft"
    IN_FORCE = "in_force"
    TARGET_EXPIRED = "target_expired"


class Citation(Settings):
    """Where a rule is written; `quote_sha256` is of the quote's UTF-8 bytes.

    `source` says what was read: the `original`, a full `reproduction` of it, a `report` quoting it, or nothing
    (`unread`: limit and scope are taken from others, and there is no quote). The last two never bind.
    """

    document: Text
    number: str = ""
    clause: str = ""
    quote: str = ""
    quote_sha256: str = ""
    url: str = ""
    source: Literal["original", "reproduction", "report", "unread"]

    @model_validator(mode="after")
    def _quote_is_what_was_read(self) -> Self:
        if bool(self.quote) == (self.source == "unread"):
            raise ValueError("a quote belongs to every source but 'unread'; add what was read or correct source")
        if self.quote and sha256_hex(self.quote.encode()) != self.quote_sha256:
            raise ValueError(f"quote has SHA-256 {sha256_hex(self.quote.encode())}; compare it with the document")
        return self

    @property
    def is_verified(self) -> bool:
        """Whether the text itself was read."""
        return self.source in ("original", "reproduction")


class Scale(Settings):
    """From how many standard racks a data center is large or very large."""

    large: Annotated[int, Field(gt=0)] = 3_000
    very_large: Annotated[int, Field(gt=0)] = 10_000

    def of(self, standard_racks: int) -> ScaleClass:
        """Scale class of a number of standard racks."""
        if standard_racks >= self.very_large:
            return "very_large"
        return "large" if standard_racks >= self.large else "small_medium"


class Predicate(Settings):
    """Which facilities a rule is about; every condition given has to hold, one left out always does."""

    build: tuple[Build, ...] = ()
    stage: tuple[Stage, ...] = ()
    scale: tuple[ScaleClass, ...] = ()
    hub: Literal["inside", "outside", "any"] = "any"
    approved_from: date | None = None
    approved_before: date | None = None
    commissioned_from: date | None = None
    commissioned_before: date | None = None
    min_it_power_kw: int | None = None
    min_annual_kwh: int | None = None
    grace_years: int = 0

    @property
    def lacks_cutoff(self) -> bool:
        """True if the rule is about new facilities and no date says since when one is new."""
        # "before" dates do not help: they end what is new and do not begin it.
        dated = self.approved_from or self.commissioned_from
        return bool({"new", "expansion"} & set(self.build)) and dated is None


class Gates(Settings):
    """How good a window has to be before a rule is judged on it.

    `refuses` are reasons of a window with which nothing is said but a breach that its bounds prove. A refuted maximum
    power is one by default, because upper bounds rest on it; certificates and clocks only where a text asks for them.
    """

    min_coverage: DecimalText = "0.96"
    max_estimated: DecimalText = "0.05"
    min_it_load: DecimalText = "0.01"
    refuses: tuple[Refusal, ...] = ("limit_refuted",)


class RuleTable(Settings):
    """One `[[rule]]` of a profile."""

    id: Id
    zh: Text
    en: Text
    jurisdiction: Jurisdiction
    status: Status
    kind: Kind
    strength: Literal["hard", "soft", "voluntary"] = "hard"
    subject: Literal["facility", "group"] = "facility"
    applies_to: Predicate = Predicate()
    comparator: Literal["<=", "<", ">", ">="] | None = None
    limit: DecimalText | None = None
    min_grade: Grade | None = None
    period: Literal["ttm", "year"] | None = None
    period_source: Literal["text", "assumed"] | None = None
    decision: Literal["simple", "guarded"] = "guarded"
    decision_source: Literal["text", "assumed"] = "assumed"
    gates: Gates = Gates()
    effective_from: date | None = None
    effective_to: date | None = None
    consequence: Id
    note: str = ""
    citation: Citation

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        pue_fields = (self.comparator, self.limit, self.period, self.period_source)
        if self.kind in PUE_KINDS:
            if None in pue_fields:
                raise ValueError(f"a rule of kind {self.kind} needs comparator, limit, period and period_source")
            if self.comparator not in _COMPARATORS[self.kind]:
                allowed = " or ".join(_COMPARATORS[self.kind])
                raise ValueError(f"comparator {self.comparator!r} does not fit kind {self.kind}; use {allowed}")
        elif pue_fields != (None, None, None, None):
            raise ValueError(f"a rule of kind {self.kind} has no comparator, limit or period; remove them")
        if (self.kind is Kind.CERTIFICATE) != (self.min_grade is not None):
            raise ValueError("min_grade belongs to rules of kind certificate, and to those only")
        return self


class Band(Settings):
    """One class of a classification: PUE up to and including `up_to`; the last band has none."""

    id: Id
    zh: Text
    en: Text
    up_to: DecimalText | None = None


class Classification(Settings):
    """Ascending bands of PUE, for lists and grades; it decides nothing by itself."""

    id: Id
    zh: Text
    en: Text
    source: Literal["text", "inferred"]
    note: str = ""
    citation: Citation
    bands: tuple[Band, ...] = Field(min_length=2)

    @field_validator("bands")
    @classmethod
    def _bands_ascend(cls, bands: tuple[Band, ...]) -> tuple[Band, ...]:
        # Sorted without repetitions is itself: they ascend strictly.
        limits = [Fraction(band.up_to) for band in bands[:-1] if band.up_to is not None]
        if len(limits) != len(bands) - 1 or bands[-1].up_to is not None or sorted(set(limits)) != limits:
            raise ValueError("bands ascend by up_to, and only the last one has none")
        return bands


class ProfileTable(Settings):
    """A whole profile file; `scale_source` says whether the text sets the numbers of racks or this project had to."""

    id: Id
    version: Annotated[int, Field(ge=1)]
    zh: Text
    en: Text
    scale: Scale = Scale()
    scale_source: ScaleSource = "assumed"
    change_reports_due: tuple[Annotated[str, Field(pattern=r"^\d{2}-\d{2}$")], ...] = ()
    retrofit_max_years: int | None = None
    rule: tuple[RuleTable, ...] = ()
    classification: tuple[Classification, ...] = ()

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        ids = [row.id for row in self.rule] + [row.id for row in self.classification]
        if repeated := sorted({one for one in ids if ids.count(one) > 1}):
            raise ValueError(f"id {repeated[0]!r} is used twice; rename one")
        return self


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as its profile states it; `version` pins the profile's number and the rule's content.

    `limit` is exact. `comparator` reads as in the text: for a limit what PUE has to satisfy, for a duty what makes
    the duty arise. `scale_source`, `period_source` and `decision_source` say whether the text sets them or this project
    had to.
    """

    profile: str
    version: str
    scale: Scale
    scale_source: ScaleSource
    id: str
    zh: str
    en: str
    jurisdiction: str
    status: Status
    kind: Kind
    strength: str
    subject: str
    applies_to: Predicate
    comparator: str | None
    limit: Fraction | None
    min_grade: str | None
    period: str | None
    period_source: str | None
    decision: str
    decision_source: str
    gates: Gates
    effective_from: date | None
    effective_to: date | None
    consequence: str
    note: str
    citation: Citation

    @property
    def is_inclusive(self) -> bool:
        """True if PUE exactly at the limit is still within it."""
        # A limit is kept by what satisfies its comparator, a duty by what does not: "PUE > 1.5: retrofit" lets 1.5
        # pass.
        return self.comparator in ("<=", ">")

    @property
    def assumes_threshold(self) -> bool:
        """True if the rule asks for a scale class whose number of racks its text does not set."""
        return bool(self.applies_to.scale) and self.scale_source == "assumed"

    def within(self, pue: Fraction) -> bool:
        """Whether an exact PUE keeps the limit, or gives no rise to the duty.

        Raises
        ------
        Fatal
            If the rule sets no limit.
        """
        if self.limit is None:
            raise Fatal(f"rule {self.id!r} sets no PUE limit; judge it on the facility's facts")
        return pue <= self.limit if self.is_inclusive else pue < self.limit

    def covers(self, region: str) -> bool:
        """Whether a region (GB/T 2260 digits, or an ISO country code in front) lies in the jurisdiction."""
        # GB/T 2260 nests by digits: 53 Yunnan, 5301 Kunming, 530102 one of its districts.
        return region.isdigit() if self.jurisdiction == "CN" else region.startswith(self.jurisdiction)

    def is_effective(self, on: date) -> bool:
        """Whether a day lies within the rule's own dates; an expired target keeps being reported."""
        started = self.effective_from is None or self.effective_from <= on
        # Half-open: the first day without effect.
        ended = self.effective_to is not None and on >= self.effective_to
        return started and (not ended or self.status is Status.TARGET_EXPIRED)


@dataclass(frozen=True, slots=True)
class Profile:
    """A set of rules published together."""

    id: str
    version: int
    zh: str
    en: str
    scale: Scale
    change_reports_due: tuple[str, ...]
    retrofit_max_years: int | None
    rules: tuple[Rule, ...]
    classifications: tuple[Classification, ...]

    def rule(self, rule_id: str) -> Rule:
        """A rule by its id.

        Raises
        ------
        Fatal
            If the profile has none of that id.
        """
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        raise Fatal(f"profile {self.id!r} has no rule {rule_id!r}; it has {', '.join(rule.id for rule in self.rules)}")


def parse_profile(text: str, name: str) -> Profile:
    """Read a profile from TOML.

    Raises
    ------
    Fatal
        With one line per error: file, line, field, what is wrong.
    """
    table = parse(text, ProfileTable, name)
    return Profile(
        id=table.id,
        version=table.version,
        zh=table.zh,
        en=table.en,
        scale=table.scale,
        change_reports_due=table.change_reports_due,
        retrofit_max_years=table.retrofit_max_years,
        rules=tuple(_rule(row, table) for row in table.rule),
        classifications=table.classification,
    )


def load_profile(name: str) -> Profile:
    """One of the profiles that come with the package.

    Raises
    ------
    Fatal
        If there is none of that name.
    """
    if name not in builtin_profiles():
        raise Fatal(f"policy profile {name!r} is unknown; use one of {', '.join(builtin_profiles())}")
    return parse_profile((_FOLDER / f"{name}.toml").read_text("utf-8"), f"{name}.toml")


def builtin_profiles() -> tuple[str, ...]:
    """Names of the profiles that come with the package, sorted."""
    return tuple(sorted(entry.name[:-5] for entry in _FOLDER.iterdir() if entry.name.endswith(".toml")))


_FOLDER = resources.files("pue") / "policies"


def _rule(row: RuleTable, table: ProfileTable) -> Rule:
    # What the row lacks, because its profile has it for all rules, is put in below.
    fields: dict[str, Any] = {field.name: getattr(row, field.name, None) for field in dataclasses.fields(Rule)}
    scale = {"scale": table.scale.model_dump(), "scale_source": table.scale_source}
    # With defaults written out: a default that changes makes another version, too.
    digest = content_hash(row.model_dump(mode="json") | scale)
    fields |= {
        "profile": table.id,
        "version": f"{table.version}-{digest[:12]}",
        "scale": table.scale,
        "scale_source": table.scale_source,
        "limit": None if row.limit is None else Fraction(row.limit),
    }
    return Rule(**fields)
