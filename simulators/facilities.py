"""The demo's five facilities as data: who runs them, where, how they are metered, and what is wrong there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from simulators.meters import FOREVER_MS, MeterSpec
from simulators.plant import DAY_MS, Climate, Drift, PlantSpec
from simulators.uscc import code

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class FacilitySpec:
    """One facility: registry facts, plant, meters, and the times its agent was off (relative to the history's end)."""

    id: str
    story: str
    name: str
    name_en: str
    enterprise: str
    enterprise_en: str
    organisation: str
    region: str
    build: str
    standard_racks: int
    it_power_kw: int
    approved_on: str
    commissioned_on: str
    plant: PlantSpec
    meters: tuple[MeterSpec, ...]
    green_grade: str = ""
    agent_off_ms: tuple[tuple[int, int], ...] = ()

    @property
    def uscc(self) -> str:
        """Unified social credit code of its (invented) enterprise."""
        return code(self.region, self.organisation)

    @property
    def agent_id(self) -> str:
        """Its one agent."""
        return f"{self.id}-a1"


def _incomers(max_power_w: int, accuracy: str, pt_class: str = "") -> tuple[MeterSpec, MeterSpec]:
    """Both incoming feeders, on the first bus, with transformers whose ratios are set in the meters themselves."""
    first = MeterSpec(
        id="main-a",
        name="1号进线",
        name_en="Incomer A",
        feed="main-a",
        profile="schneider-pm5xxx",
        link="bus1",
        max_power_w=max_power_w,
        a="1",
        meter_class=accuracy,
        ct_class=accuracy.replace("1", "0.5"),
        pt_class=pt_class,
    )
    return first, replace(first, id="main-b", name="2号进线", name_en="Incomer B", feed="main-b", unit_id=2)


def _ups_outputs(profile: str, max_power_w: int, accuracy: str) -> tuple[MeterSpec, MeterSpec]:
    """Both UPS outputs, on the second bus."""
    first = MeterSpec(
        id="ups-a",
        name="UPS A 输出",
        name_en="UPS A output",
        feed="it-a",
        profile=profile,
        link="bus2",
        unit_id=11,
        max_power_w=max_power_w,
        b="1",
        parent="main-a",
        meter_class=accuracy,
    )
    second = replace(first, id="ups-b", name="UPS B 输出", name_en="UPS B output", feed="it-b", unit_id=12)
    return first, replace(second, parent="main-b")


def _office(max_power_w: int) -> MeterSpec:
    """The office sub-meter, taken out of the data center's energy."""
    return MeterSpec(
        id="office",
        name="办公用电",
        name_en="Office",
        feed="office",
        profile="eastron-sdm630",
        link="bus2",
        unit_id=21,
        max_power_w=max_power_w,
        a="-1",
        parent="main-a",
        meter_class="1",
    )


def _cooling(max_power_w: int) -> MeterSpec:
    """A check meter on the cooling plant: read and stored, not needed for PUE."""
    return MeterSpec(
        id="cooling",
        name="制冷站",
        name_en="Cooling plant (check meter)",
        feed="cooling",
        profile="abb-b23",
        link="bus2",
        unit_id=31,
        max_power_w=max_power_w,
        required=False,
        meter_class="0.5S",
    )


def _rows(profile: str, max_power_w: int, accuracy: str) -> tuple[MeterSpec, ...]:
    """Four rack rows behind SNMP power distribution units, two on each side."""
    return tuple(
        MeterSpec(
            id=f"pdu-{side}{number}",
            name=f"{side.upper()}路{number}列配电",
            name_en=f"Row {side.upper()}{number} PDU",
            feed=f"it-{side}{number}",
            profile=profile,
            link=f"pdu-{side}{number}",
            max_power_w=max_power_w,
            b="1",
            parent=f"main-{side}",
            meter_class=accuracy,
        )
        for side in ("a", "b")
        for number in (1, 2)
    )


KUNMING = FacilitySpec(
    id="km01",
    story="new-build, large, about 1.25",
    name="云瀚昆明一号数据中心",
    name_en="Yunhan Kunming DC 1",
    enterprise="昆明云瀚数据有限公司",
    enterprise_en="Kunming Yunhan Data Co., Ltd.",
    organisation="MADEM001",
    region="530100",
    build="new",
    standard_racks=4000,
    it_power_kw=10_000,
    approved_on="2023-03-15",
    commissioned_on="2024-08-01",
    green_grade="4A",
    plant=PlantSpec(5200, 0.06, Climate(11.5, 6.0, 2.0, 1.2), pue_ttm=1.25, office_kw=60),
    meters=(
        *_incomers(9_000_000, "0.2S", "0.2"),
        *_ups_outputs("abb-b23", 6_000_000, "0.2S"),
        _office(150_000),
    ),
)

YUXI = FacilitySpec(
    id="yx01",
    story="new-build, large, drifting through 1.3",
    name="滇湖玉溪智算中心",
    name_en="Dianhu Yuxi AI Computing Center",
    enterprise="玉溪滇湖智算科技有限公司",
    enterprise_en="Yuxi Dianhu AI Computing Technology Co., Ltd.",
    organisation="MADEM002",
    region="530400",
    build="new",
    standard_racks=6000,
    it_power_kw=15_000,
    approved_on="2023-06-30",
    commissioned_on="2024-10-01",
    green_grade="4A",
    plant=PlantSpec(7000, 0.10, Climate(13.0, 5.5, 2.2, 1.2), pue_ttm=1.272, drift=Drift(75, 1.335)),
    meters=(
        *_incomers(13_000_000, "0.2S", "0.2"),
        *_ups_outputs("abb-b23", 9_000_000, "0.2S"),
        _cooling(6_000_000),
    ),
)

QUJING = FacilitySpec(
    id="qj01",
    story="existing, about 1.58: over 1.5, retrofit",
    name="珠源曲靖云计算中心",
    name_en="Zhuyuan Qujing Cloud Center",
    enterprise="曲靖珠源信息服务有限公司",
    enterprise_en="Qujing Zhuyuan Information Services Co., Ltd.",
    organisation="MADEM003",
    region="530300",
    build="existing",
    standard_racks=800,
    it_power_kw=2_000,
    approved_on="2014-05-20",
    commissioned_on="2015-11-01",
    plant=PlantSpec(1100, 0.02, Climate(11.0, 6.5, 2.2, 1.5), 1.58, ups_loss=0.09, cooling_per_c=0.015),
    meters=(
        *_incomers(1_600_000, "0.5S"),
        *_rows("raritan-px2", 500_000, "1"),
    ),
)

DALI = FacilitySpec(
    id="dl01",
    story="existing, 1.42: the new-build limit does not apply, not over 1.5",
    name="苍洱大理数据中心",
    name_en="Cang'er Dali Data Center",
    enterprise="大理苍洱数字科技有限公司",
    enterprise_en="Dali Cang'er Digital Technology Co., Ltd.",
    organisation="MADEM004",
    region="532900",
    build="existing",
    standard_racks=1500,
    it_power_kw=3_750,
    approved_on="2016-09-10",
    commissioned_on="2018-04-01",
    plant=PlantSpec(2000, 0.03, Climate(11.5, 5.0, 2.4, 1.0), 1.42, ups_loss=0.07, cooling_per_c=0.02, office_kw=40),
    meters=(
        *_incomers(4_000_000, "0.5S", "0.2"),
        *_ups_outputs("abb-b23", 2_600_000, "0.5S"),
        _office(100_000),
    ),
)

DEAD_SINCE_DAYS = 100


def _troubled_rows() -> tuple[MeterSpec, ...]:
    """One register passes 2**32 Wh, one PDU stops answering for good, one loses its network for eight hours."""
    first, second, third, fourth = _rows("eaton-epdu", 500_000, "1")
    lost = (-60 * DAY_MS, -60 * DAY_MS + 8 * HOUR_MS)
    return (
        replace(first, wraps_before_ms=200 * DAY_MS + 5 * HOUR_MS),
        replace(second, silent_ms=(lost,)),
        replace(third, profile="apc-rpdu2"),
        replace(fourth, profile="apc-rpdu2", silent_ms=((-DEAD_SINCE_DAYS * DAY_MS, FOREVER_MS),)),
    )


HONGHE = FacilitySpec(
    id="hh01",
    story="existing, meter trouble: gaps, a rollover, a dead meter",
    name="蒙自红河数据中心",
    name_en="Mengzi Honghe Data Center",
    enterprise="红河哈尼网络科技有限公司",
    enterprise_en="Honghe Hani Network Technology Co., Ltd.",
    organisation="MADEM005",
    region="532500",
    build="existing",
    standard_racks=600,
    it_power_kw=1_500,
    approved_on="2017-02-28",
    commissioned_on="2019-06-01",
    plant=PlantSpec(900, 0.02, Climate(15.0, 5.0, 2.0, 1.2), 1.45, ups_loss=0.08, cooling_per_c=0.015),
    meters=(*_incomers(1_300_000, "0.5S"), *_troubled_rows()),
    agent_off_ms=((-150 * DAY_MS, -150 * DAY_MS + 30 * HOUR_MS),),
)

FACILITIES = (KUNMING, YUXI, QUJING, DALI, HONGHE)
