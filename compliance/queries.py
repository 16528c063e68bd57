"""What the API and the console may read, with every answer's columns.

Rows are frozen values. Ratios and shares are decimal text with six places, rounded so that a value over a limit is
never shown at it; energies are whole joules; times are aware UTC or `…_ms` since 1970 UTC. `None` means "not known",
never zero. Everything a `Queries` returns has passed its scope: what is out of scope does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import PlainSerializer

from pue.contract.errors import PueError
from pue.energy.slots import Int64

Float64 = npt.NDArray[np.float64]
Joules = Annotated[int, PlainSerializer(str, return_type=str, when_used="json")]
"""Whole joules; text in JSON, where many readers round large numbers."""

SERIES_WIDTHS = ("slot", "1h", "24h", "7d", "30d", "365d")
"""Widths of the rolling curve a chart may ask for."""


class NotFound(PueError):
    """Something does not exist, or is outside the reader's scope: the two are not told apart.

    Parameters
    ----------
    code
        Stable code of the problem, e.g. `unknown_facility`.
    message
        The thing, its value and the remedy.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BadQuery(NotFound):
    """An argument cannot be answered: unknown window, `from` after `to`, not a time."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom a reader may see: facilities by GB/T 2260 prefix or by enterprise; empty sees nothing."""

    name: str
    regions: frozenset[str] = frozenset()
    enterprises: frozenset[str] = frozenset()

    def sees(self, region: str, enterprise: str) -> bool:
        """Whether a facility of this region and enterprise exists for the reader."""
        return enterprise in self.enterprises or any(region.startswith(prefix) for prefix in self.regions)


NOBODY = Scope("nobody")
LOOPBACK = Scope("loopback", regions=frozenset({""}))
"""Sees everything: given to readers on this machine while there is no sign-in."""


@dataclass(frozen=True, slots=True)
class Region:
    """A row of the GB/T 2260 table; `short` is the everyday name (昆明)."""

    gb2260: str
    level: Literal["province", "prefecture"]
    zh: str
    en: str
    short: str


@dataclass(frozen=True, slots=True)
class MeterPoint:
    """A meter of a facility and what it counts for: exact weights in E_DC (`a`) and E_IT (`b`) as text."""

    meter: str
    name: str
    parent: str | None
    a: str
    b: str
    required: bool
    quantity: str
    serial: str
    profile: str
    meter_class: str
    ct: str
    pt: str


@dataclass(frozen=True, slots=True)
class Facility:
    """A registered data center as of one moment; `seq` is its last event and its ETag."""

    id: str
    site: str
    name: str
    name_en: str
    enterprise: str
    enterprise_name: str
    enterprise_name_en: str
    region: str
    timezone: str
    stage: str
    build: str
    scale: Literal["small_medium", "large", "very_large"]
    standard_racks: int
    it_power_kw: int
    approved_on: date | None
    commissioned_on: date | None
    hub_cluster: str | None
    green_grade: str
    green_grade_certificate: str
    green_grade_valid_to: date | None
    meters: tuple[MeterPoint, ...]
    seq: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Pue:
    """PUE of one facility or region over one window, with everything needed to doubt it.

    `reasons` are codes for why `pue` is None or weak. `quality_share` is the share of energy per quality.
    """

    window: str
    from_ms: int
    to_ms: int
    pue: str | None
    pue_lower: str | None
    pue_upper: str | None
    u_pue: str | None
    total_j: Joules
    it_j: Joules
    total_lower_j: Joules
    total_upper_j: Joules
    it_lower_j: Joules
    it_upper_j: Joules
    coverage: str
    flags: int
    quality_share: Mapping[str, str]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PueSeries:
    """Rolling PUE for a chart: at each slot edge, the PUE of the `width` before it; all columns have shape (N,).

    NaN where the window is not fully inside the data, IT energy is not positive, or nothing was measured there: a gap
    stays a gap. `coverage` is the measured share of each window, 0 to 1.
    """

    width: str
    edge_ms: Int64
    pue: Float64
    pue_lower: Float64
    pue_upper: Float64
    coverage: Float64


@dataclass(frozen=True, slots=True)
class Rule:
    """One dated row of a policy profile: `comparator` `limit`, e.g. `<=` `1.3`, with its clause.

    `kind` is limit, duty, certificate, siting or incentive; only limit and duty have comparator, limit and period.
    `status` is draft, in_force or target_expired; only a rule in force is `binding`.
    """

    id: str
    version: str
    profile: str
    title: str
    title_en: str
    kind: str
    strength: str
    status: str
    comparator: str | None
    limit: str | None
    period: str | None
    binding: bool
    consequence: str
    citation: str
    clause: str
    quote: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The system's computed result (系统测算结果) for one facility, rule and legal period; never a decision.

    `outcome` is one of not_applicable, non_compliant, insufficient_data, invalid_data, compliant, indeterminate;
    `reasons` are codes of `pue.judgement.reasons`. It holds from `as_of_ms`, the close of its period, until the next
    one; rules on facts (`kind` certificate, siting, incentive) have no period and no figures. `since` is the local day
    from which the outcome has held without a break. `positions` are ledger records per shard.
    """

    facility: str
    rule: str
    rule_version: str
    profile: str
    kind: str
    status: str
    consequence: str
    outcome: str
    reasons: tuple[str, ...]
    as_of_ms: int
    period: str | None
    from_ms: int | None
    to_ms: int | None
    limit: str | None
    comparator: str | None
    pue: str | None
    pue_lower: str | None
    pue_upper: str | None
    u_pue: str | None
    p_within: str | None
    coverage: str | None
    total_j: Joules | None
    it_j: Joules | None
    simple_outcome: str | None
    guarded_outcome: str | None
    decision: str | None
    binding: bool
    headline: bool
    since: date
    seq: int
    recorded_at: datetime
    positions: Mapping[str, int]
    topology_version: int
    package_version: str
    evidence_hash: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An operational alert; it never changes a finding.

    `kind` is `pue_over_limit` (rolling 30 days against the limit), `coverage_low` or `meter_silent`; `meters` names
    the silent one, none named means all of the facility's. `value` and `limit` are decimal text. `cleared_ms` is None
    while active.
    """

    id: str
    facility: str
    kind: str
    raised_ms: int
    cleared_ms: int | None
    value: str | None
    limit: str | None
    rule: str
    meters: tuple[str, ...]
    seq: int
    recorded_at: datetime

    @property
    def active(self) -> bool:
        """Whether it still stands."""
        return self.cleared_ms is None


@dataclass(frozen=True, slots=True)
class MeterStatus:
    """How one meter is doing at the data's watermark, over the 30 days before it."""

    meter: str
    last_reading_ms: int | None
    coverage: str
    energy_j: Joules
    flags: int


@dataclass(frozen=True, slots=True)
class ComplianceRow:
    """One facility in a region's table.

    `finding` is the headline of `findings` (the strictest binding applicable rule, else the strictest), `rolling` the
    PUE of the last 30 days, `margin` is limit - pue of the headline (negative: over), as text.
    """

    facility: Facility
    finding: Finding | None
    findings: tuple[Finding, ...]
    rolling: Pue | None
    margin: str | None
    alerts: tuple[Alert, ...]


@dataclass(frozen=True, slots=True)
class RegionCompliance:
    """A region's facilities with their findings as valid at one time and known at another."""

    region: str
    valid_at: datetime
    known_at: datetime
    seq: int
    rows: tuple[ComplianceRow, ...]
    counts: Mapping[str, int]
    """Facilities per headline outcome; `none` for those without a finding."""


@dataclass(frozen=True, slots=True)
class RegionPue:
    """Sum of energies by sum of energies over a region's facilities, and what each contributed."""

    region: str
    pue: Pue
    facilities: Mapping[str, Pue]


@dataclass(frozen=True, slots=True)
class Event:
    """One link of the log. Out of scope only `seq`, `hash` are filled and `kind` is `withheld`."""

    seq: int
    hash: str
    kind: str
    prev: str = ""
    entity: str = ""
    actor: str = ""
    recorded_at: datetime | None = None
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """Where the installation stands: what is missing says so in words with the remedy."""

    demo: bool
    issuer: str
    seq: int
    topology_version: int
    watermarks_ms: Mapping[str, int | None]
    """Per facility: data before this is evaluated."""
    missing: tuple[str, ...]


class Queries(Protocol):
    """Reads within one scope. Built per request: `queries_of(request) -> Queries`.

    The console is mounted with `compliance.console.routes.router(queries_of)`, an `APIRouter` that includes its own
    static files' routes.
    """

    @property
    def scope(self) -> Scope:
        """Whose eyes these are."""

    def status(self) -> Status:
        """Demo flag, head of the log, watermarks, what is missing."""

    def regions(self) -> tuple[Region, ...]:
        """The provinces and Yunnan's 16 prefectures, by code."""

    def region(self, gb2260: str) -> Region:
        """One of them by 2, 4 or 6 digits; raises `NotFound("unknown_region")`."""

    def rules(self) -> tuple[Rule, ...]:
        """Rules of the loaded policy profiles, whether they apply or not."""

    def facilities(
        self, region: str = "", valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> tuple[Facility, ...]:
        """Facilities under a GB/T 2260 prefix, by id; trailing zeros of a code do not matter (530000 is 53)."""

    def facility(
        self, facility_id: str, valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> Facility:
        """One facility; raises `NotFound("unknown_facility")`."""

    def pue(
        self, facility_id: str, window: str = "30d", from_ms: int | None = None, to_ms: int | None = None
    ) -> Pue | None:
        """PUE over a window id of `pue.energy.windows.WINDOW_IDS` ending at the watermark (or `to_ms`).

        With both `from_ms` and `to_ms` the window is `custom`. None when the facility has no data at all. Raises
        `BadQuery("unknown_window" | "bad_interval")`.
        """

    def pue_series(self, facility_id: str, from_ms: int, to_ms: int, width: str = "30d") -> PueSeries:
        """Rolling PUE per slot edge within [from_ms, to_ms]; raises `BadQuery("unknown_window")`."""

    def meters(self, facility_id: str) -> tuple[MeterStatus, ...]:
        """State of each meter at the watermark."""

    def findings(
        self, facility_id: str, valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> tuple[Finding, ...]:
        """The finding in force per rule, headline first, then by rule id."""

    def finding_history(self, facility_id: str) -> tuple[Finding, ...]:
        """Every finding ever written for a facility, newest event first."""

    def alerts(self, region: str = "", facility_id: str | None = None, active: bool | None = None) -> tuple[Alert, ...]:
        """Alerts, active first, then newest first."""

    def region_compliance(
        self, region: str, valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> RegionCompliance:
        """A region's table; facilities by id."""

    def region_pue(self, region: str, window: str = "30d") -> RegionPue | None:
        """Ratio of sums over a region's facilities with data; None when there are none."""

    def events(self, after: int = 0, limit: int = 100) -> Sequence[Event]:
        """The log after `after`, in order, without holes: out of scope gives stubs."""
