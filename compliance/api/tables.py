"""Tables for people as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from fastapi.responses import Response

from compliance.queries import Facility, RegionCompliance

BYTE_ORDER_MARK = "\ufeff"
"""Without it spreadsheets show Chinese as noise."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Also full width, which spreadsheets for Chinese take for the same."""

FACILITY_COLUMNS = (
    "id", "name", "name_en", "enterprise", "enterprise_name", "region", "stage", "build", "scale", "standard_racks",
    "it_power_kw", "approved_on", "commissioned_on", "green_grade", "seq",
)  # fmt: skip
FINDING_COLUMNS = (
    "rule", "rule_version", "outcome", "binding", "since", "period", "from_ms", "to_ms", "comparator", "limit", "pue",
    "pue_lower", "pue_upper", "u_pue", "coverage", "evidence_hash", "seq",
)  # fmt: skip


def facilities_csv(facilities: Iterable[Facility]) -> Response:
    """One line per facility."""
    rows = [[getattr(one, column) for column in FACILITY_COLUMNS] for one in facilities]
    return _csv("facilities.csv", FACILITY_COLUMNS, rows)


def compliance_csv(table: RegionCompliance) -> Response:
    """One line per facility with its headline finding."""
    header = ("facility", "name", "region", "margin", "alerts", *(f"finding_{one}" for one in FINDING_COLUMNS))
    rows = []
    for row in table.rows:
        found = [getattr(row.finding, column) if row.finding else None for column in FINDING_COLUMNS]
        alerts = " ".join(alert.kind for alert in row.alerts)
        rows.append([row.facility.id, row.facility.name, row.facility.region, row.margin, alerts, *found])
    return _csv(f"compliance-{table.region}.csv", header, rows)


def _csv(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(BYTE_ORDER_MARK + text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _cell(value: object) -> str:
    """Text that a spreadsheet shows and never runs."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
