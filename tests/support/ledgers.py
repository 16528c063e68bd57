"""Ledgers of which every record can be read."""

from __future__ import annotations

from collections.abc import Iterable

from collector.ledger import Lost, Record


def whole(found: Iterable[Record | Lost]) -> list[Record]:
    """Records, none of which is lost."""
    records = list(found)
    assert not [item for item in records if isinstance(item, Lost)]
    return [item for item in records if isinstance(item, Record)]
