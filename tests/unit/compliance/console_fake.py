"""A small made-up province behind the console's reading interface."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np

from compliance.identifiers import regions
from compliance.queries import (
    LOOPBACK,
    Alert,
    BadQuery,
    ComplianceRow,
    Event,
    Facility,
    Finding,
    MeterPoint,
    MeterStatus,
    NotFound,
    Pue,
    PueSeries,
    Region,
    RegionCompliance,
    RegionPue,
    Rule,
    Scope,
    Status,
)
from pue.contract.quality import Flag
from pue.contract.series import SLOT_MS
from pue.energy.windows import WINDOW_IDS, window_bounds

ZONE = ZoneInfo("Asia/Shanghai")
WATERMARK = datetime(2026, 11, 23, 5, 45, tzinfo=UTC)
WATERMARK_MS = round(WATERMARK.timestamp() * 1000)
DAY_MS = 86_400_000
DAYS = 400
SLOTS = DAYS * DAY_MS // SLOT_MS
START_MS = WATERMARK_MS - SLOTS * SLOT_MS
DOCUMENT = "云南省高耗能行业重点领域节能降碳技术改造总体实施方案（征求意见稿）"
NEW_RULE, RETROFIT_RULE, GRADE_RULE = "new_build_pue_max", "retrofit_pue_over", "green_grade_min"


@dataclass(frozen=True)
class Site:
    """What one made-up facility is."""

    id: str
    name: str
    name_en: str
    region: str
    pue: float
    outcome: str
    is_new: bool = True
    racks: int = 4_000
    drift: float = 0.0
    reasons: tuple[str, ...] = ("pue_within_limit", "rule_is_draft", "period_not_set")
    gaps: bool = False
    alerts: tuple[str, ...] = ()


SITES = (
    Site("km01", "云瀚昆明一号数据中心", "Yunhan Kunming DC 1", "530100", 1.247, "compliant"),
    Site(
        "qj01", "滇东曲靖算力中心", "Diandong Qujing Compute Center", "530300", 1.293, "indeterminate", drift=0.09,
        reasons=("within_guard_band", "rule_is_draft", "period_not_set"), alerts=("pue_over_limit",),
    ),
    Site(
        "yx01", "玉溪信息港机房", "Yuxi Infoport", "530400", 1.583, "non_compliant", is_new=False, racks=1_200,
        reasons=("pue_over_limit", "rule_is_draft", "period_not_set"), alerts=("pue_over_limit",),
    ),
    Site("hh01", "红河云谷数据中心", "Honghe Cloud Valley", "532500", 1.421, "compliant", is_new=False, racks=2_600),
    Site(
        "dl01", "大理洱海云计算中心", "Dali Erhai Cloud", "532900", 1.312, "insufficient_data",
        reasons=("coverage_below_gate", "rule_is_draft"), gaps=True, alerts=("coverage_low", "meter_silent"),
    ),
)  # fmt: skip


def rule(rule_id: str, kind: str, comparator: str | None, limit: str | None, title: str, title_en: str) -> Rule:
    return Rule(
        id=rule_id, version="1-3f9a0c12be77", profile="yunnan-2022-draft", title=title, title_en=title_en, kind=kind,
        strength="hard", status="draft", comparator=comparator, limit=limit, period="ttm" if limit else None,
        binding=False, consequence="retrofit" if kind == "duty" else "rectify_new_build",
        citation=DOCUMENT, clause="六", quote=title,
    )  # fmt: skip


RULES = (
    rule(NEW_RULE, "limit", "<=", "1.3", "新建大型及以上数据中心电能利用效率（PUE）不高于1.3",
         "New data centers, large and above: PUE not above 1.3"),
    rule(GRADE_RULE, "certificate", None, None, "新建大型及以上数据中心绿色低碳等级达到4A级以上",
         "New data centers, large and above: green and low-carbon grade 4A or higher"),
    rule(RETROFIT_RULE, "duty", ">", "1.5", "电能利用效率（PUE）超过1.5的数据中心逐步进行节能降碳改造",
         "Data centers with PUE above 1.5: phased retrofit"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Curve:
    """Energy per slot of one site."""

    total_j: np.ndarray
    it_j: np.ndarray
    known: np.ndarray

    def window(self, from_ms: int, to_ms: int) -> tuple[int, int, float]:
        first, last = (max(0, min(SLOTS, (time - START_MS) // SLOT_MS)) for time in (from_ms, to_ms))
        part = slice(first, last)
        covered = float(self.known[part].sum()) / max((to_ms - from_ms) // SLOT_MS, 1)
        return int(self.total_j[part].sum()), int(self.it_j[part].sum()), covered


@cache
def curve(site: Site) -> Curve:
    rng = np.random.default_rng(sum(site.id.encode()))
    days = np.arange(SLOTS) * SLOT_MS / DAY_MS
    it_kw = 5_200 + 700 * np.sin(2 * np.pi * days) + 200 * np.sin(2 * np.pi * days / 7) + rng.normal(0, 40, SLOTS)
    season = 0.035 * np.sin(2 * np.pi * (days - 140) / 365) + 0.018 * np.sin(2 * np.pi * days + 1)
    pue = site.pue + season + site.drift * (days / DAYS - 0.5) + rng.normal(0, 0.006, SLOTS)
    pue[SLOTS // 2] += 0.21
    known = np.ones(SLOTS, bool)
    if site.gaps:
        for start, length in ((60, 9), (150, 21), (300, 4), (371, 1)):
            known[start * 96 : (start + length) * 96] = False
    it_j = np.where(known, it_kw * 900_000, 0).astype(np.int64)
    return Curve((it_j * pue).astype(np.int64), it_j, known)


def six(value: float | None) -> str | None:
    return None if value is None else f"{value:.6f}"


@dataclass
class FakeQueries:
    """Reads of a made-up province; `extra` adds facilities, `empty` removes everything."""

    extra: int = 0
    demo: bool = True
    empty: bool = False
    without_data: bool = False
    sites: tuple[Site, ...] = SITES
    scope: Scope = LOOPBACK

    def __post_init__(self) -> None:
        more = tuple(
            dataclasses.replace(
                SITES[index % 5], id=f"x{index:03}", name=f"第{index}号数据中心", name_en=f"Data Center No. {index}",
                pue=SITES[index % 5].pue + 0.001 * (index * 37 % 90 - 45),
                region=[region.gb2260 for region in regions() if region.level == "prefecture"][index % 16],
            )
            for index in range(self.extra)
        )  # fmt: skip
        self.sites = () if self.empty else self.sites + more

    def curve(self, site_id: str) -> Curve:
        return curve(self.site(site_id))

    def site(self, site_id: str) -> Site:
        for site in self.sites:
            if site.id == site_id:
                return site
        raise NotFound("unknown_facility", f"facility {site_id!r} is unknown")

    def status(self) -> Status:
        mark = None if self.without_data else WATERMARK_MS
        return Status(self.demo, "yunnan", 214, 3, {site.id: mark for site in self.sites}, ())

    def regions(self) -> tuple[Region, ...]:
        return regions()

    def region(self, gb2260: str) -> Region:
        return next(region for region in regions() if region.gb2260.startswith(gb2260))

    def rules(self) -> tuple[Rule, ...]:
        return RULES

    def facilities(
        self, region: str = "", valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> tuple[Facility, ...]:
        return tuple(self._facility(site) for site in self.sites)

    def facility(
        self, facility_id: str, valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> Facility:
        return self._facility(self.site(facility_id))

    def _facility(self, site: Site) -> Facility:
        return Facility(
            id=site.id, site=site.id, name=site.name, name_en=site.name_en, enterprise="91530100MA6K0000XX",
            enterprise_name="云南云瀚数据有限公司", enterprise_name_en="Yunnan Yunhan Data Co., Ltd.",
            region=site.region, timezone="Asia/Shanghai", stage="existing", build="new" if site.is_new else "existing",
            scale="large" if site.racks >= 3_000 else "small_medium", standard_racks=site.racks, it_power_kw=10_000,
            approved_on=date(2024, 3, 1), commissioned_on=date(2025, 6, 1), hub_cluster="",
            green_grade="4A", green_grade_certificate="", green_grade_valid_to=None, meters=self._points(),
            seq=12, recorded_at=WATERMARK - timedelta(days=400),
        )  # fmt: skip

    def _points(self) -> tuple[MeterPoint, ...]:
        rows = (
            ("main-a", "1号进线", None, "1", "0", "schneider-pm5xxx", "0.2S", "2000/5"),
            ("main-b", "2号进线", None, "1", "0", "schneider-pm5xxx", "0.2S", "2000/5"),
            ("ups-a", "1号UPS输出", "main-a", "0", "1", "abb-b23", "0.2S", "1000/5"),
            ("ups-b", "2号UPS输出", "main-b", "0", "1", "raritan-px2", "", "1"),
        )
        return tuple(
            MeterPoint(meter, name, parent, a, b, True, "energy_import", f"SN-{meter}", profile, accuracy, ct, "1")
            for meter, name, parent, a, b, profile, accuracy, ct in rows
        )

    def _pue(self, site_id: str, window: str, from_ms: int, to_ms: int) -> Pue:
        total, it, covered = self.curve(site_id).window(from_ms, to_ms)
        ratio = total / it if it else None
        wide = (1 - covered) * 0.5
        bounds = (None, None) if ratio is None else (ratio - wide - 0.0004, ratio + wide + 0.0004)
        return Pue(
            window=window, from_ms=from_ms, to_ms=to_ms, pue=six(ratio), pue_lower=six(bounds[0]),
            pue_upper=six(bounds[1]), u_pue="0.003100", total_j=total, it_j=it, total_lower_j=total,
            total_upper_j=total, it_lower_j=it, it_upper_j=it, coverage=f"{covered:.6f}",
            flags=0, quality_share={}, reasons=() if it else ("no_it_energy",),
        )  # fmt: skip

    def pue(
        self, facility_id: str, window: str = "30d", from_ms: int | None = None, to_ms: int | None = None
    ) -> Pue | None:
        if window not in WINDOW_IDS:
            raise BadQuery("unknown_window", f"window {window!r} is unknown")
        self.site(facility_id)
        return None if self.without_data else self._pue(facility_id, window, *window_bounds(window, WATERMARK_MS, ZONE))

    def pue_series(self, facility_id: str, from_ms: int, to_ms: int, width: str = "30d") -> PueSeries:
        one = self.curve(facility_id)
        slots = {"slot": 1, "30d": 30 * 96}[width]
        edges = START_MS + SLOT_MS * np.arange(SLOTS + 1)
        total, it, known = (np.concatenate(([0], np.cumsum(part))) for part in (one.total_j, one.it_j, one.known))
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = (total[slots:] - total[:-slots]) / (it[slots:] - it[:-slots])
        ends, covered = edges[slots:], (known[slots:] - known[:-slots]) / slots
        inside = (ends >= from_ms) & (ends <= to_ms)
        values = np.where(covered > 0, ratio, np.nan)[inside]
        return PueSeries(width, ends[inside], values, values, values, covered[inside])

    def meters(self, facility_id: str) -> tuple[MeterStatus, ...]:
        troubled = self.site(facility_id).gaps
        bad = Flag.MISSING | Flag.ROLLOVER
        return tuple(
            MeterStatus(
                point.meter, WATERMARK_MS, "0.871400" if troubled and index == 3 else "1.000000",
                7_654_321_000_000, int(bad if troubled and index == 3 else 0),
            )
            for index, point in enumerate(self._points())
        )  # fmt: skip

    def findings(
        self, facility_id: str, valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> tuple[Finding, ...]:
        if self.without_data:
            return ()
        site = self.site(facility_id)
        rule_id = NEW_RULE if site.is_new else RETROFIT_RULE
        return (self._finding(site, rule_id), *(self._side(site, one.id) for one in RULES if one.id != rule_id))

    def _finding(self, site: Site, rule_id: str) -> Finding:
        row = next(one for one in RULES if one.id == rule_id)
        pue = self._pue(site.id, "ttm", *window_bounds("ttm", WATERMARK_MS, ZONE))
        return Finding(
            facility=site.id, rule=rule_id, rule_version=row.version, profile=row.profile, kind=row.kind,
            status=row.status, consequence=row.consequence, outcome=site.outcome, reasons=site.reasons,
            as_of_ms=pue.to_ms, period="ttm", from_ms=pue.from_ms, to_ms=pue.to_ms, limit=row.limit,
            comparator=row.comparator, pue=pue.pue, pue_lower=pue.pue_lower, pue_upper=pue.pue_upper,
            u_pue=pue.u_pue, p_within="0.953000", coverage=pue.coverage, total_j=pue.total_j, it_j=pue.it_j,
            simple_outcome="compliant" if site.outcome == "indeterminate" else site.outcome,
            guarded_outcome=site.outcome, decision="guarded", binding=False, headline=True,
            since=date(2026, 3, 1), seq=198, recorded_at=WATERMARK, positions={"s0": 48_213, "s1": 51_977},
            topology_version=3, package_version="0.1.0", evidence_hash="9f" * 32,
        )  # fmt: skip

    def _side(self, site: Site, rule_id: str) -> Finding:
        fact = rule_id == GRADE_RULE and site.is_new
        return dataclasses.replace(
            self._finding(site, rule_id), headline=False, period=None, from_ms=None, to_ms=None, pue=None,
            simple_outcome=None, guarded_outcome=None, decision=None, seq=199,
            outcome="insufficient_data" if fact else "not_applicable",
            reasons=("certificate_missing",) if fact else ("build_not_covered",),
        )  # fmt: skip

    def finding_history(self, facility_id: str) -> tuple[Finding, ...]:
        return self.findings(facility_id)[:1]

    def alerts(self, region: str = "", facility_id: str | None = None, active: bool | None = None) -> tuple[Alert, ...]:
        return tuple(alert for site in self.sites if facility_id in (None, site.id) for alert in self._alerts(site))

    def _alerts(self, site: Site) -> tuple[Alert, ...]:
        values = {"pue_over_limit": ("1.326000", "1.3"), "coverage_low": ("0.871400", "0.96")}
        return tuple(
            Alert(
                id=f"{site.id}-{kind}",
                facility=site.id,
                kind=kind,
                raised_ms=WATERMARK_MS - 9 * DAY_MS,
                cleared_ms=None,
                value=values.get(kind, (None, None))[0],
                limit=values.get(kind, (None, None))[1],
                rule=NEW_RULE if kind == "pue_over_limit" else "",
                meters=("ups-b",) if kind == "meter_silent" else (),
                seq=201,
                recorded_at=WATERMARK,
            )
            for kind in site.alerts
        )

    def region_compliance(
        self, region: str, valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> RegionCompliance:
        rows = tuple(self._row(site) for site in self.sites)
        counts = Counter(row.finding.outcome if row.finding else "none" for row in rows)
        return RegionCompliance(region, valid_at or WATERMARK, known_at or WATERMARK, 214, rows, counts)

    def _row(self, site: Site) -> ComplianceRow:
        findings = self.findings(site.id)
        first = findings[0] if findings else None
        margin = None if first is None else f"{float(first.limit or 0) - float(first.pue or 0):.6f}"
        return ComplianceRow(
            self._facility(site), first, findings, self.pue(site.id, "30d"), margin, self._alerts(site)
        )

    def region_pue(self, region: str, window: str = "30d") -> RegionPue | None:
        parts = {site.id: pue for site in self.sites if (pue := self.pue(site.id, window))}
        if not parts:
            return None
        total, it = sum(part.total_j for part in parts.values()), sum(part.it_j for part in parts.values())
        whole = dataclasses.replace(next(iter(parts.values())), total_j=total, it_j=it, pue=six(total / it))
        return RegionPue(region, whole, parts)

    def events(self, after: int = 0, limit: int = 100) -> Sequence[Event]:
        return ()
