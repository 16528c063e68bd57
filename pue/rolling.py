"""PUE of windows: ratios of sums, with bounds and coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from pue.facility import FacilityCurve
from pue.slots import Int64


@dataclass(frozen=True, slots=True)
class WindowResult:
    """What is known of one window [from_ms, to_ms).

    Attributes
    ----------
    total_j, it_j
        Energy of the facility and of its IT equipment. [J]
    total_lower_j, total_upper_j, it_lower_j, it_upper_j
        Hard bounds from what is missing; `MAX_ENERGY_J` stands for unbounded. [J]
    coverage
        Share of the time in which all required meters are covered. [-]
    flags
        Marks of all slots in the window.
    quality_share
        Per mark (lower-case flag name, and `measured` for none), the larger of its shares of E_DC and E_IT, for
        `measured` the smaller. [-]
    u_pue
        Standard uncertainty of the PUE; None without a PUE. [-]
    pue
        total / it, exact; None where IT energy is not positive. [-]
    pue_lower, pue_upper
        Hard bounds; an upper bound of None is infinite. [-]
    reasons
        Codes of what is wrong with the window.
    coverage_by_meter
        Each meter's own share of covered time. [-]
    """

    from_ms: int
    to_ms: int
    total_j: int
    it_j: int
    total_lower_j: int
    total_upper_j: int
    it_lower_j: int
    it_upper_j: int
    coverage: Fraction
    flags: int
    quality_share: Mapping[str, Fraction]
    u_pue: float | None
    pue: Fraction | None
    pue_lower: Fraction | None
    pue_upper: Fraction | None
    reasons: tuple[str, ...]
    coverage_by_meter: Mapping[str, Fraction] = field(default_factory=dict)


def window_result(curve: FacilityCurve, from_ms: int, to_ms: int) -> WindowResult:
    """Everything known of one window."""
    raise NotImplementedError


def rolling_pue(
    total_j: Int64, it_j: Int64, width_slots: int, out: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
    """PUE of every window of `width_slots` slots."""
    raise NotImplementedError


def group_result(results: Sequence[WindowResult]) -> WindowResult:
    """Sum over sum of one common window."""
    raise NotImplementedError
