"""A configuration means the same whether it comes whole or in parts, and parts that do not fit are refused."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest

from pue.contract import wire, wire_v1
from pue.contract.batches import ConfigBody, LinkMeter, LinkPart, LinkPoint, ProfilePart, Readings
from pue.contract.configuration import ConfigInParts, Configuration, MeterSetup, PointSetup
from pue.contract.errors import Fatal, Reject
from pue.contract.signing import Signer


def point(quantity: str = "energy_import", unit: str = "Wh", scale: str = "1/1000") -> LinkPoint:
    return LinkPoint(
        quantity=quantity, unit=unit, scale=scale, period_ms=15_000, registers=["3:0:2"], has_source_time=False
    )


def meter(name: str, *points: LinkPoint, address: str = "a") -> LinkMeter:
    return LinkMeter(
        meter=name, profile="p", address=address, serial="SN", firmware="", ct="2000/5", pt="1", side="secondary",
        points=list(points),
    )  # fmt: skip


def config(*links: LinkPart) -> ConfigInParts:
    return ConfigInParts.of("km01", "km01-a1", "test", {"p": "text"}, links)


def together(config: ConfigInParts) -> Configuration:
    return Configuration.of_parts(config.manifest, dict(config.parts))


def test_points_are_numbered_through_links_meters_and_points() -> None:
    made = config(
        LinkPart(link="b", meters=[meter("m1", point(), point("power", "kW", "3/25"))]),
        LinkPart(link="a", meters=[meter("m2", point()), meter("m3", point("power", "W", "10"))]),
    )
    found = together(made)
    assert [(one.meter, one.quantity) for one in found.points] == [
        ("m1", "energy_import"), ("m1", "power"), ("m2", "energy_import"), ("m3", "power"),
    ]  # fmt: skip
    assert [one.scale for one in found.points] == [Fraction(1, 1000), Fraction(3, 25), Fraction(1, 1000), Fraction(10)]
    assert found.meters[0] == MeterSetup("m1", "p", Fraction(400), Fraction(1), "secondary")
    assert found.profiles == {"p": "text"}


def test_version_1_means_the_same() -> None:
    whole = wire_v1.Config(
        poll_ms=15_000,
        meters=[wire_v1.Meter(meter="m1", profile="p", address="a", serial="SN", ct="2000/5")],
        points=[wire_v1.Point(meter="m1", quantity="energy_import", unit="Wh", exponent=-3)],
        profiles={"p": "text"},
        software="test",
    )
    found = Configuration.of_one_batch(whole)
    parted = together(config(LinkPart(link="l", meters=[meter("m1", point())])))
    assert (found.points, found.profiles) == (parted.points, parted.profiles)
    assert found.meters == (MeterSetup("m1", "p", Fraction(400), Fraction(1), ""),)


@pytest.mark.parametrize(
    ("quantity", "unit", "step"),
    [("energy_import", "Wh", Fraction(18, 5)), ("energy_import", "W", 0), ("warmth", "Wh", 0), ("power", "kW", 1)],
)
def test_one_count_in_base_units_or_nothing_if_the_unit_is_none_of_the_quantitys(
    quantity: str, unit: str, step: Fraction | int
) -> None:
    assert PointSetup("m1", quantity, unit, Fraction(1, 1000)).step == step


def test_ten_thousand_points_of_one_agent_fit_whatever_hangs_on_one_link() -> None:
    meters = [meter(f"m{n}", *[point()] * 15, address="modbus-tcp://10.0.0.1:502/unit/1") for n in range(667)]
    made = config(LinkPart(link="bus", meters=meters))
    assert len(made.manifest.links) > 4
    assert max(len(msgspec.json.encode(part)) for part in made.parts.values()) < 256 * 1024 - 2000
    found = together(made)
    assert len(found.points) == 10_005
    assert [one.meter for one in found.points[::15]] == [f"m{n}" for n in range(667)]


def test_a_meter_larger_than_a_part_is_a_part_of_its_own() -> None:
    huge = meter("huge", address="x" * 230_000)
    made = config(LinkPart(link="bus", meters=[meter("m1", point()), huge, meter("m2", point())]))
    sizes = [len(part.meters) for part in made.parts.values() if isinstance(part, LinkPart)]
    assert sizes == [1, 1, 1]


def test_what_no_batch_takes_is_refused_before_anything_runs() -> None:
    """The largest that passes does fit a batch with the longest names."""
    room = 262_144 - 1024 - len('{"form":"profile","profile":"p","text":""}')
    fits = ConfigInParts.of("s" * 64, "a" * 64, "test", {"p": "x" * room}, [])
    (part,) = fits.parts.values()
    header: dict[str, object] = {
        "site": "s" * 64, "agent": "a" * 64, "alg": "A" * 32, "key": "0" * 16, "epoch": "0" * 20,
        "prev_epoch": "0" * 20,
        "boot": "0" * 16, "seq": (1 << 63) - 1, "prev": "0" * 64, "config": None, "sent_ms": (1 << 62) - 1,
        "mono_ns": (1 << 63) - 1,
    }  # fmt: skip
    assert wire.seal(wire.ConfigBatch(**header, body=part), Signer.generate())  # type: ignore[arg-type]  # as the wire has them
    with pytest.raises(Fatal, match=r"profile 'p' takes 261121 bytes; one batch takes 261120: make it smaller"):
        ConfigInParts.of("km01", "km01-a1", "test", {"p": "x" * (room + 1)}, [])
    with pytest.raises(Fatal, match="meter 'huge' takes"):
        config(LinkPart(link="bus", meters=[meter("m1"), meter("huge", address="x" * 300_000)]))


def test_the_digest_is_that_of_the_content() -> None:
    one = config(LinkPart(link="l", meters=[meter("m1", point())]))
    again = config(LinkPart(link="l", meters=[meter("m1", point())]))
    other = config(LinkPart(link="l", meters=[meter("m1", point(scale="1/100"))]))
    assert one.digest == again.digest == wire.config_digest(one.manifest)
    assert one.digest != other.digest
    assert one.manifest.parts == list(one.parts) == [*one.manifest.profiles, *one.manifest.links]
    assert set(one.parts) - set(other.parts) == set(one.manifest.links)


@pytest.mark.parametrize(
    ("profiles", "links", "message"),
    [
        (["link"], ["link"], "as a profile; that part is none"),
        (["profile"], ["profile"], "as a link; that part is none"),
        ([], ["link"], "meter 'm1' lacks the text of 'p'"),
    ],
)
def test_parts_that_do_not_fit_are_refused(profiles: list[str], links: list[str], message: str) -> None:
    made = config(LinkPart(link="l", meters=[meter("m1", point())]))
    names = {"profile": made.manifest.profiles[0], "link": made.manifest.links[0]}
    manifest = msgspec.structs.replace(
        made.manifest, profiles=[names[name] for name in profiles], links=[names[name] for name in links]
    )
    with pytest.raises(Reject, match=message):
        Configuration.of_parts(manifest, dict(made.parts))


def test_a_part_that_is_not_there_is_named() -> None:
    made = config(LinkPart(link="l", meters=[meter("m1", point())]))
    parts: dict[str, ConfigBody] = {name: part for name, part in made.parts.items() if isinstance(part, ProfilePart)}
    with pytest.raises(KeyError, match=made.manifest.links[0]):
        Configuration.of_parts(made.manifest, parts)


def test_the_latest_reply_of_readings_in_any_order_and_of_none() -> None:
    body = Readings.of(1000, [0, 1, 2], [500, 0, 200], [10, 700, 1], ["", "", ""], [1, 2, 3], [0, 0, 0])
    assert (body.point, body.t0, body.latest_ms) == ([0, 1, 2], [500, 0, 200], 1700)
    assert (body.point_step, body.t0_step) == ([0, 1, 1], [500, -500, 200])
    assert Readings.of(1000, [], [], [], [], [], []).latest_ms == 1000
