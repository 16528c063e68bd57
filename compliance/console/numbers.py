"""Numbers and times as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from pue.contract.quantities import JOULES_PER_KWH
from pue.judgement.decimals import show_pue

NONE = "—"
MINUS = "−"
PLACES = 3
"""Fewest decimals of a ratio; more where fewer would put it on a limit."""
COMPARATORS = {"<=": "≤", ">=": "≥", "<": "<", ">": ">"}


def ratio(text: str | None, limits: Iterable[Fraction] = (), direction: int = 0) -> str:
    """A PUE to three decimals, more where three would move it onto or across a limit.

    Parameters
    ----------
    text
        Decimal text; None is shown as a dash. [-]
    limits
        What it must not cross. [-]
    direction
        -1 rounds down (a lower bound), 0 to the nearest, +1 up.
    """
    return NONE if text is None else show_pue(Fraction(text), PLACES, tuple(limits), direction)


def limit(comparator: str | None, text: str | None) -> str:
    """A limit as its rule writes it, with the sign people know; a dash for a rule that sets none."""
    if comparator is None or text is None:
        return NONE
    return f"{COMPARATORS.get(comparator, comparator)} {Decimal(text).normalize():f}"


def distance(text: str) -> str:
    """The size of a margin to three decimals, more where three would make it vanish."""
    return show_pue(abs(Fraction(text)), PLACES, limits=(Fraction(0),))


def percent(text: str | None) -> str:
    """A share with one decimal, rounded down: 100 % is said only of the whole."""
    if text is None:
        return NONE
    return f"{(Decimal(text) * 100).quantize(Decimal('0.1'), ROUND_DOWN)}%"


def energy(joules: int | None) -> str:
    """Energy in kWh, from 10 MWh on in MWh."""
    if joules is None:
        return NONE
    kwh = Decimal(joules) / JOULES_PER_KWH
    text = f"{kwh / 1000:,.1f} MWh" if abs(kwh) >= 10_000 else f"{kwh:,.1f} kWh"
    return text.replace("-", MINUS)


def day(value: date | None) -> str:
    """A date, ISO."""
    return NONE if value is None else value.isoformat()


def moment(time_ms: int | None, zone: ZoneInfo) -> str:
    """A time to the minute in a zone, with its offset."""
    return NONE if time_ms is None else local(datetime.fromtimestamp(time_ms / 1000, UTC), zone)


def local(value: datetime, zone: ZoneInfo) -> str:
    """An aware time to the minute in a zone, with its offset."""
    there = value.astimezone(zone)
    offset = there.strftime("%z")
    sign = offset[0].replace("-", MINUS)
    hours = int(offset[1:3])
    minutes = offset[3:5]
    return f"{there:%Y-%m-%d %H:%M} UTC{sign}{hours}" + ("" if minutes == "00" else f":{minutes}")


def period(from_ms: int | None, to_ms: int | None, zone: ZoneInfo) -> str:
    """A half-open interval; whole local days are named by their first and last day."""
    if from_ms is None or to_ms is None:
        return NONE
    start, end = (datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone) for ms in (from_ms, to_ms))
    if start.time() == end.time() == datetime.min.time() and start < end:
        last = datetime.fromtimestamp((to_ms - 1) / 1000, UTC).astimezone(zone)
        return f"{start:%Y-%m-%d}" if start.date() == last.date() else f"{start:%Y-%m-%d} – {last:%Y-%m-%d}"
    if start.date() == end.date():
        return f"{start:%Y-%m-%d %H:%M} – {end:%H:%M}"
    return f"{start:%Y-%m-%d %H:%M} – {end:%Y-%m-%d %H:%M}"
