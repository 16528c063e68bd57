"""Answers to `compliance.queries` from log and series, within one scope."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from compliance import charts, queries, views
from compliance.evaluate import FINDING, written_row
from compliance.identifiers import region_prefix, regions
from compliance.judging import since_ms
from compliance.log import Event
from compliance.measure import Measure, Measured
from compliance.projection import Projection
from compliance.queries import BadQuery, NotFound, Scope
from compliance.readers import reading_before
from compliance.registry import Registered, Registry
from compliance.registry_file import ms
from compliance.terms import local_day
from compliance.topology import TopologyOffice
from pue.contract.series import SLOT_MS, SeriesKey, slot_of
from pue.contract.topology import Topology
from pue.contract.wire import SignedLine
from pue.energy.rolling import WindowResult, group_result
from pue.energy.windows import WINDOW_IDS, window_bounds
from pue.judgement.policy import Profile

END_OF_TIME_MS = 1 << 62
THIRTY_DAYS_MS = 30 * 24 * 3_600_000
REGION_ZONE = "Asia/Shanghai"
"""Days, months and years of a region's common window are those of the country's legal time."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What all readers share: the log's projection, the measured curves, the rules."""

    projection: Projection
    registry: Registry
    measure: Measure
    profiles: tuple[Profile, ...]
    office: TopologyOffice
    issuer: str
    demo: bool
    now_ms: Callable[[], int]
    missing: Callable[[], tuple[str, ...]]


class Answers:
    """Reads as of one head of the log; everything passes the scope."""

    def __init__(self, sources: Sources, scope: Scope = queries.NOBODY) -> None:
        self._sources = sources
        self._scope = scope
        self._head = sources.projection.refresh()

    @property
    def scope(self) -> Scope:
        """Whose eyes these are."""
        return self._scope

    @property
    def head(self) -> int:
        """The last event these answers know."""
        return self._head

    def status(self) -> queries.Status:
        """Demo flag, head of the log, watermarks, what is missing."""
        topology = self._sources.projection.last("topology", self._head)
        return queries.Status(
            demo=self._sources.demo,
            issuer=self._sources.issuer,
            seq=self._head,
            topology_version=topology.body["version"] if topology else 0,
            watermarks_ms={one.facts.id: self._sources.measure.watermark_ms(one) for one in self._visible("")},
            missing=self._sources.missing(),
        )

    def regions(self) -> tuple[queries.Region, ...]:
        """The provinces and Yunnan's 16 prefectures, by code."""
        return regions()

    def region(self, gb2260: str) -> queries.Region:
        """One of them by 2, 4 or 6 digits."""
        code = gb2260.ljust(6, "0")
        for region in regions():
            if region.gb2260 == code and gb2260:
                return region
        raise NotFound("unknown_region", f"no region has the code {gb2260!r}; use GB/T 2260, e.g. 53 or 530100")

    def rules(self) -> tuple[queries.Rule, ...]:
        """Rules of the loaded policy profiles."""
        return tuple(views.rule_view(rule) for profile in self._sources.profiles for rule in profile.rules)

    def facilities(
        self, region: str = "", valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> tuple[queries.Facility, ...]:
        """Facilities under a GB/T 2260 prefix, by id."""
        return tuple(self._view(one) for one in self._visible(region, valid_at, known_at))

    def facility(
        self, facility_id: str, valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> queries.Facility:
        """One facility."""
        return self._view(self._registered(facility_id, valid_at, known_at))

    def pue(
        self, facility_id: str, window: str = "30d", from_ms: int | None = None, to_ms: int | None = None
    ) -> queries.Pue | None:
        """PUE over a window."""
        facility = self._registered(facility_id)
        _check_window(window)
        measured = self._sources.measure.of(facility)
        if measured is None:
            return None
        name = "custom" if from_ms is not None else window
        return views.pue_view(name, _result(facility.facts.timezone, measured, window, from_ms, to_ms))

    def pue_series(self, facility_id: str, from_ms: int, to_ms: int, width: str = "30d") -> queries.PueSeries:
        """Rolling PUE per slot edge."""
        measured = self._sources.measure.of(self._registered(facility_id))
        if width not in charts.WIDTH_SLOTS:
            raise BadQuery("unknown_window", f"width {width!r} is unknown; use one of {', '.join(charts.WIDTH_SLOTS)}")
        return charts.series(measured, from_ms, to_ms, width)

    def meters(self, facility_id: str) -> tuple[queries.MeterStatus, ...]:
        """State of each meter at the watermark."""
        facility = self._registered(facility_id)
        measured = self._sources.measure.of(facility)
        reader = self._sources.measure.reader.get()
        if measured is None or reader is None:
            return ()
        begin_ms = max(measured.watermark_ms - THIRTY_DAYS_MS, measured.first_ms)
        status = []
        for meter in facility.meters:
            key = SeriesKey(facility.facts.site, meter.id, meter.quantity)
            slots = reader.slots(key, begin_ms, measured.watermark_ms)
            last = reading_before(reader, key, measured.watermark_ms + SLOT_MS)
            status.append(charts.meter_status(measured, meter.id, begin_ms, slots, last.t1_ms if last else None))
        return tuple(status)

    def findings(
        self, facility_id: str, valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> tuple[queries.Finding, ...]:
        """The finding in force per rule, headline first."""
        return self._in_force(self._registered(facility_id, None, known_at), valid_at, self._seq(known_at))

    def finding_history(self, facility_id: str) -> tuple[queries.Finding, ...]:
        """Every finding ever written for a facility, newest event first."""
        self._registered(facility_id)
        prefix = f"finding:{facility_id}/"
        entities = self._sources.projection.entities(prefix, self._head)
        events = [event for name in entities for event in self._sources.projection.history(name, self._head)]
        found = views.finding_views(events, choose_headline=False)
        return tuple(sorted(found, key=lambda finding: -finding.seq))

    def alerts(
        self, region: str = "", facility_id: str | None = None, active: bool | None = None
    ) -> tuple[queries.Alert, ...]:
        """Alerts, active first, then newest first."""
        chosen = [self._registered(facility_id)] if facility_id is not None else self._visible(region)
        found = [alert for one in chosen for alert in self._alerts(one.facts.id, self._head)]
        kept = [alert for alert in found if active is None or alert.active is active]
        return tuple(sorted(kept, key=lambda alert: (not alert.active, -alert.raised_ms, alert.id)))

    def region_compliance(
        self, region: str, valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> queries.RegionCompliance:
        """A region's table."""
        rows = tuple(self._row(one, valid_at, known_at) for one in self._visible(region, valid_at, known_at))
        counts = Counter(row.finding.outcome if row.finding else "none" for row in rows)
        now = views.moment(self._sources.now_ms())
        return queries.RegionCompliance(
            region=region,
            valid_at=valid_at or now,
            known_at=known_at or now,
            seq=self._seq(known_at),
            rows=rows,
            counts=dict(sorted(counts.items())),
        )

    def region_pue(self, region: str, window: str = "30d") -> queries.RegionPue | None:
        """Ratio of sums over a region's facilities with data, over one common window."""
        _check_window(window)
        found = [(one, measured) for one in self._visible(region) if (measured := self._sources.measure.of(one))]
        if not found:
            return None
        end_ms = min(measured.watermark_ms for _, measured in found)
        results = {
            one.facts.id: _result(REGION_ZONE, measured, window, None, end_ms)
            for one, measured in found
            if _covers(measured, window, end_ms)
        }
        if not results:
            return None
        whole = views.pue_view(window, group_result(list(results.values())))
        return queries.RegionPue(region, whole, {name: views.pue_view(window, one) for name, one in results.items()})

    def events(self, after: int = 0, limit: int = 100) -> Sequence[queries.Event]:
        """The log after `after`; out of scope gives stubs."""
        found = self._sources.projection.events(after, min(self._head, after + limit))
        return [self._event(event) for event in found]

    def finding_event(self, facility_id: str, seq: int) -> Event:
        """The event behind a finding."""
        self._registered(facility_id)
        for event in self._sources.projection.events(seq - 1, seq):
            if event.kind == FINDING and event.entity.startswith(f"finding:{facility_id}/"):
                return event
        raise NotFound("unknown_finding", f"event {seq} is no finding about {facility_id!r}; see its findings")

    def topology(self) -> tuple[Topology, SignedLine, str] | None:
        """The document in force, its signed line, and the key that signed it."""
        if not self._may_see("topology"):
            return None
        current = self._sources.office.current()
        event = self._sources.projection.last("topology", self._head)
        return (*current, event.body["public_key"]) if current and event else None

    def topology_event(self, version: int) -> Event | None:
        """The event that issued a version of the topology document."""
        history = self._sources.projection.history("topology", self._head)
        return next((event for event in history if event.body["version"] == version), None)

    def registered(self, facility_id: str) -> Registered:
        """The record behind a facility."""
        return self._registered(facility_id)

    @property
    def sources(self) -> Sources:
        """What these answers are read from."""
        return self._sources

    def _seq(self, known_at: datetime | None) -> int:
        return self._head if known_at is None else min(self._head, self._sources.projection.seq_known_at(ms(known_at)))

    def _registered(
        self, facility_id: str, valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> Registered:
        valid_ms = None if valid_at is None else ms(valid_at)
        found = self._sources.registry.facility(facility_id, self._seq(known_at), valid_ms)
        if found is None or not self._scope.sees(found.facts.region, found.facts.enterprise):
            raise NotFound("unknown_facility", f"no facility {facility_id!r}; /v1/facilities lists those you may see")
        return found

    def _visible(
        self, region: str, valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> Iterator[Registered]:
        seq = self._seq(known_at)
        valid_ms = None if valid_at is None else ms(valid_at)
        prefix = region_prefix(region)
        for name in self._sources.registry.facility_ids(seq):
            found = self._sources.registry.facility(name, seq, valid_ms)
            if found is None or not found.facts.region.startswith(prefix):
                continue
            if self._scope.sees(found.facts.region, found.facts.enterprise):
                yield found

    def _view(self, facility: Registered) -> queries.Facility:
        return views.facility_view(facility, views.scale_of(self._sources.profiles))

    def _row(self, facility: Registered, valid_at: datetime | None, known_at: datetime | None) -> queries.ComplianceRow:
        findings = self._in_force(facility, valid_at, self._seq(known_at))
        first = findings[0] if findings and findings[0].headline else None
        is_now = valid_at is None and known_at is None
        measured = self._sources.measure.of(facility) if is_now else None
        rolling = _result(facility.facts.timezone, measured, "30d", None, None) if measured else None
        return queries.ComplianceRow(
            facility=self._view(facility),
            finding=first,
            findings=findings,
            rolling=views.pue_view("30d", rolling) if rolling else None,
            margin=views.margin(first),
            alerts=self._active_alerts(facility.facts.id, valid_at, known_at),
        )

    def _in_force(self, facility: Registered, valid_at: datetime | None, seq: int) -> tuple[queries.Finding, ...]:
        """Findings in force, each since the day that its rule's findings give as they are known at `seq`."""
        at_ms = END_OF_TIME_MS if valid_at is None else ms(valid_at)
        projection = self._sources.projection
        prefix = f"finding:{facility.facts.id}/"
        histories = [projection.history(name, seq) for name in projection.entities(prefix, seq)]
        chosen = [(event, history) for history in histories if (event := _event_in_force(history, at_ms))]
        since = {event.seq: _since(event, history, facility.facts.timezone) for event, history in chosen}
        found = views.finding_views([event for event, _ in chosen])
        return tuple(replace(finding, since=since[finding.seq]) for finding in found)

    def _active_alerts(
        self, facility_id: str, valid_at: datetime | None, known_at: datetime | None
    ) -> tuple[queries.Alert, ...]:
        """Alerts that stood at one time, as known at another."""
        at_ms = END_OF_TIME_MS if valid_at is None else ms(valid_at)
        alerts = self._alerts(facility_id, self._seq(known_at), at_ms)
        return tuple(alert for alert in alerts if alert.active)

    def _alerts(self, facility_id: str, seq: int, at_ms: int = END_OF_TIME_MS) -> list[queries.Alert]:
        prefix = f"alert:{facility_id}/"
        projection = self._sources.projection
        found: list[queries.Alert] = []
        for name in projection.entities(prefix, seq):
            history = [event for event in projection.history(name, seq) if event.body["at_ms"] <= at_ms]
            found += views.alert_views(facility_id, name.removeprefix(prefix), history)
        return found

    def _event(self, event: Event) -> queries.Event:
        if not self._may_see(event.entity):
            return queries.Event(seq=event.seq, hash=event.hash, kind="withheld")
        return queries.Event(
            seq=event.seq,
            hash=event.hash,
            kind=event.kind,
            prev=event.prev,
            entity=event.entity,
            actor=event.actor,
            recorded_at=views.moment(event.recorded_ms),
            body=event.body,
        )

    def _may_see(self, entity: str) -> bool:
        if "" in self._scope.regions:
            return True
        kind, _, name = entity.partition(":")
        if kind == "enterprise":
            return name in self._scope.enterprises or any(one.facts.enterprise == name for one in self._visible(""))
        found = self._sources.registry.facility(name.partition("/")[0], self._head)
        return found is not None and self._scope.sees(found.facts.region, found.facts.enterprise)


def _event_in_force(history: Sequence[Event], at_ms: int) -> Event | None:
    begun = [event for event in history if event.body["as_of_ms"] <= at_ms]
    return max(begun, key=lambda event: (event.body["as_of_ms"], event.seq), default=None)


def _since(event: Event, history: Sequence[Event], zone: str) -> date:
    """The day from which an outcome has held; a later finding about an earlier period may have moved it."""
    rows = [written_row(one) for one in history]
    return local_day(since_ms(rows, event.body["as_of_ms"], event.body["outcome"]), zone)


def _check_window(window: str) -> None:
    if window not in WINDOW_IDS:
        raise BadQuery("unknown_window", f"window {window!r} is unknown; use one of {', '.join(WINDOW_IDS)}")


def _bounds(zone: str, window: str, at_ms: int) -> tuple[int, int]:
    return window_bounds(window, at_ms, ZoneInfo(zone))


def _covers(measured: Measured, window: str, at_ms: int) -> bool:
    """Whether a region's window has any of a facility's data in it."""
    from_ms, to_ms = _bounds(REGION_ZONE, window, at_ms)
    return from_ms < to_ms and measured.first_ms < to_ms


def _result(zone: str, measured: Measured, window: str, from_ms: int | None, to_ms: int | None) -> WindowResult:
    if from_ms is None:
        at_ms = measured.watermark_ms if to_ms is None else min(slot_of(to_ms), measured.watermark_ms)
        if at_ms <= measured.first_ms or (bounds := _bounds(zone, window, at_ms))[1] <= measured.first_ms:
            raise _outside(measured)
        return measured.window(*bounds)
    begin_ms = slot_of(from_ms)
    end_ms = slot_of(measured.watermark_ms if to_ms is None else to_ms)
    if begin_ms == end_ms:
        raise BadQuery("bad_interval", "the interval asked for holds no whole slot; ask for 15 minutes or more")
    if not measured.first_ms <= begin_ms < end_ms <= measured.watermark_ms:
        raise _outside(measured)
    return measured.window(begin_ms, end_ms)


def _outside(measured: Measured) -> BadQuery:
    first, last = (views.moment(at).isoformat() for at in (measured.first_ms, measured.watermark_ms))
    return BadQuery("bad_interval", f"the interval asked for does not lie within the data, {first} to {last}")
