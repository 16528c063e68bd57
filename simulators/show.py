"""A simulation in words: facilities, their true PUE, their meters and ports."""

from __future__ import annotations

from pue.contract.series import slot_of
from simulators.meters import VirtualMeter
from simulators.plant import DAY_MS
from simulators.scenario import Simulation, Site, iso, trailing_year


def table(simulation: Simulation) -> str:
    """Lines for a terminal."""
    lines = [f"seed {simulation.seed}, history until {simulation.until}"]
    for site in simulation.sites:
        lines += _facility(site)
        lines += [_meter(meter, simulation.ports[site.spec.id][meter.spec.link]) for meter in site.meters]
    return "\n".join(lines)


def _facility(site: Site) -> list[str]:
    year = trailing_year(site.until_ms)
    month_end = slot_of(site.until_ms)
    month = (month_end - 30 * DAY_MS, month_end)
    return [
        "",
        f"{site.spec.id}  {site.spec.name} / {site.spec.name_en} ({site.spec.region}): {site.spec.story}",
        f"  true PUE {float(site.plant.true_pue(*year)):.4f} in the twelve months to {iso(year[1])}, "
        f"{float(site.plant.true_pue(*month)):.4f} in the last 30 days",
    ]


def _meter(meter: VirtualMeter, port: int) -> str:
    spec = meter.spec
    unit = f"unit {spec.unit_id:3}" if spec.link.startswith("bus") else "        "
    return (
        f"  {spec.id:8} {spec.profile:17} 127.0.0.1:{port} {unit} a={spec.a:2} b={spec.b:2} "
        f"CT {spec.ct} PT {spec.pt} class {spec.meter_class} error {meter.error_ppm:+d} ppm"
    )
