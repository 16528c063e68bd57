"""Small simulated worlds shared by the tests of this folder."""

from __future__ import annotations

from functools import cache

from simulators.scenario import Site, instant_ms, sites

UNTIL_MS = instant_ms("2026-11-17T10:07:31+08:00")


@cache
def world(seed: int = 7) -> dict[str, Site]:
    """All facilities at one seed, computed once."""
    return {site.spec.id: site for site in sites(seed, UNTIL_MS)}
