"""Whether agent, profile and registry agree on which transformers stand before a meter."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from collector.configs import KeptConfig
from collector.topology import Enrolled
from pue.contract.configuration import MeterSetup
from pue.contract.errors import Fatal
from pue.contract.profile import load_meter_profile
from pue.contract.topology import MeterVersion


def ratio_mismatches(config: KeptConfig, enrolled: Enrolled) -> Iterator[tuple[str, str]]:
    """Meters of a configuration whose ratio is not the registry's, each with what is wrong, in words.

    The registry's ratio is the one that energy is multiplied by. A meter that counts on the primary side has its
    transformers in its counts already: multiplied once more it would show 400 times too much behind 2000/5.
    """
    for meter in config.setup.meters:
        registered = enrolled.meters.get((config.site, meter.meter))
        if registered is None or not registered.versions:
            continue
        words = _mismatch(meter, registered.versions[-1], _side(config, meter))
        if words:
            yield f"{config.site}/{meter.meter}", f"meter {meter.meter} of {config.agent}: {words}"


def _mismatch(meter: MeterSetup, version: MeterVersion, side: str | None) -> str:
    own: Fraction = meter.ct * meter.pt
    if side == "primary":
        if version.ratio == 1:
            return ""
        return (
            f"profile {meter.profile} counts on the primary side, and the registry multiplies by {version.ratio}; "
            "remove CT and PT there"
        )
    if own == version.ratio:
        return ""
    return f"the agent is told CT x PT = {own}, the registry {version.ratio}; correct one of them"


def _side(config: KeptConfig, meter: MeterSetup) -> str | None:
    """Which side the profile states; None where it states none, or is none that this program reads."""
    try:
        return load_meter_profile(config.setup.profiles[meter.profile], meter.profile).spec.side
    except Fatal:
        return None
