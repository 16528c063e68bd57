"""The addresses under /v1: every answer is read through the request's scope."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Response

from compliance import queries
from compliance.api.evidence import evidence
from compliance.api.models import EventPage, Evidence, Page, SignedDocument
from compliance.api.parameters import After, From, KnownAt, Limit, Moment, Reads, RegionPrefix, To, ValidAt
from compliance.api.tables import compliance_csv, facilities_csv
from compliance.queries import BadQuery, NotFound
from compliance.registry_file import ms

Item = TypeVar("Item")
router = APIRouter(prefix="/v1")


@router.get("/status")
def status(reads: Reads) -> queries.Status:
    """Head of the log, how far the data reach, what is missing."""
    return reads.status()


@router.get("/regions")
def regions(reads: Reads) -> list[queries.Region]:
    """Regions by GB/T 2260 code."""
    return list(reads.regions())


@router.get("/rules")
def rules(reads: Reads) -> list[queries.Rule]:
    """Rules of the loaded policy profiles, each with its clause."""
    return list(reads.rules())


@router.get("/facilities")
def facilities(
    reads: Reads,
    region: RegionPrefix = "",
    valid_at: ValidAt = None,
    known_at: KnownAt = None,
    after: After = "",
    limit: Limit = 100,
) -> Page[queries.Facility]:
    """Facilities by id."""
    return _page(reads.facilities(region, valid_at, known_at), lambda one: one.id, after, limit, reads.head)


@router.get("/facilities.csv")
def facilities_table(
    reads: Reads, region: RegionPrefix = "", valid_at: ValidAt = None, known_at: KnownAt = None
) -> Response:
    """All facilities as a table."""
    return facilities_csv(reads.facilities(region, valid_at, known_at))


@router.get("/facilities/{facility_id}")
def facility(
    reads: Reads, response: Response, facility_id: str, valid_at: ValidAt = None, known_at: KnownAt = None
) -> queries.Facility:
    """One facility; its ETag is the sequence number of the last event about it."""
    found = reads.facility(facility_id, valid_at, known_at)
    response.headers["etag"] = f'"{found.seq}"'
    return found


@router.get("/facilities/{facility_id}/pue")
def pue(reads: Reads, facility_id: str, window: str = "30d", from_: From = None, to: To = None) -> queries.Pue:
    """PUE over a named window, or from `from` to `to`."""
    return _found(reads.pue(facility_id, window, *_interval(from_, to)), f"facility {facility_id!r}")


@router.get("/facilities/{facility_id}/findings")
def findings(
    reads: Reads, facility_id: str, valid_at: ValidAt = None, known_at: KnownAt = None
) -> list[queries.Finding]:
    """The finding in force per rule, the headline first."""
    return list(reads.findings(facility_id, valid_at, known_at))


@router.get("/facilities/{facility_id}/findings/history")
def finding_history(reads: Reads, facility_id: str) -> list[queries.Finding]:
    """Every finding ever recorded, newest first."""
    return list(reads.finding_history(facility_id))


@router.get("/facilities/{facility_id}/meters")
def meters(reads: Reads, facility_id: str) -> list[queries.MeterStatus]:
    """State of each meter over the last 30 days."""
    return list(reads.meters(facility_id))


@router.get("/facilities/{facility_id}/evidence")
def facility_evidence(
    reads: Reads, facility_id: str, seq: Annotated[int | None, Query(ge=1, description="Event of the finding")] = None
) -> Evidence:
    """What a finding rests on, back to the registers and the signed originals; without `seq` the headline's."""
    return evidence(reads, facility_id, seq)


@router.get("/regions/{gb2260}/compliance")
def region_compliance(
    reads: Reads, gb2260: str, valid_at: ValidAt = None, known_at: KnownAt = None
) -> queries.RegionCompliance:
    """A region's facilities with their findings."""
    return reads.region_compliance(_region(reads, gb2260), valid_at, known_at)


@router.get("/regions/{gb2260}/compliance.csv")
def region_compliance_table(reads: Reads, gb2260: str, valid_at: ValidAt = None, known_at: KnownAt = None) -> Response:
    """A region's facilities with their headline findings, as a table."""
    return compliance_csv(reads.region_compliance(_region(reads, gb2260), valid_at, known_at))


@router.get("/regions/{gb2260}/pue")
def region_pue(reads: Reads, gb2260: str, window: str = "30d") -> queries.RegionPue:
    """Sum of energies by sum of energies over a region's facilities."""
    return _found(reads.region_pue(_region(reads, gb2260), window), f"region {gb2260}")


@router.get("/alerts")
def alerts(
    reads: Reads,
    region: RegionPrefix = "",
    facility: Annotated[str | None, Query(max_length=64)] = None,
    active: bool | None = None,
    after: After = "",
    limit: Limit = 100,
) -> Page[queries.Alert]:
    """Alerts, active ones first, then newest first."""
    return _page(reads.alerts(region, facility, active), lambda one: one.id, after, limit, reads.head, is_sorted=False)


@router.get("/events")
def events(reads: Reads, after: Annotated[int, Query(ge=0)] = 0, limit: Limit = 100) -> EventPage:
    """The event log after a sequence number, without holes."""
    found = reads.events(after, limit)
    return EventPage(found, found[-1].seq if found else after, reads.head)


@router.get("/topology")
def topology(reads: Reads) -> SignedDocument:
    """The topology document in force, exactly as it was signed."""
    current = reads.topology()
    if current is None:
        raise NotFound("no_topology", "no topology document was issued yet; run `pue-compliance import`")
    document, signed, public_key = current
    return SignedDocument(document.version, signed.sha256, public_key, signed.line.decode(), signed.signature.decode())


def _found(value: Item | None, what: str) -> Item:
    if value is None:
        raise NotFound("no_data", f"{what} has no data yet; /v1/status says what is missing")
    return value


def _region(reads: Reads, gb2260: str) -> str:
    """A known code; of a county, its prefecture has to be known."""
    if len(gb2260) not in (2, 4, 6) or not (gb2260.isascii() and gb2260.isdigit()):
        raise NotFound("unknown_region", f"{gb2260!r} is no GB/T 2260 code; use 2, 4 or 6 digits")
    reads.region(gb2260 if gb2260.endswith("00") else gb2260[:4])
    return gb2260


def _interval(from_: Moment | None, to: Moment | None) -> tuple[int | None, int | None]:
    if from_ is not None and to is not None and from_ >= to:
        raise BadQuery("bad_interval", f"from {from_.isoformat()} is not before to {to.isoformat()}; swap them")
    return (None if from_ is None else ms(from_)), (None if to is None else ms(to))


def _page(
    items: Sequence[Item], key: Callable[[Item], str], after: str, limit: int, seq: int, *, is_sorted: bool = True
) -> Page[Item]:
    """Items behind the one named `after`; in a sorted list it need not be there any more."""
    if is_sorted:
        rest = [item for item in items if key(item) > after]
    else:
        place = next((index + 1 for index, item in enumerate(items) if key(item) == after), 0)
        rest = list(items[place:])
    part = rest[:limit]
    return Page(part, key(part[-1]) if len(rest) > limit else None, seq)
