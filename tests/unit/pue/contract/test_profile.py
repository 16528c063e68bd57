"""Profiles: what comes with the product reads as the manuals say, and mistakes are named with file and line."""

from __future__ import annotations

import tomllib
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pue.contract.decode import decode
from pue.contract.errors import Fatal
from pue.contract.profile import MeterProfile, ModbusProfile, SnmpProfile, builtin_meter_profiles, load_meter_profile
from pue.contract.quality import Quality
from pue.contract.quantities import step

GOLDEN = Path(__file__).parents[3] / "golden" / "profiles"
FOLDERS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


def raw_of(profile: MeterProfile, quantity: str, vector: dict[str, Any]) -> str:
    """The words or BER that a meter laid out like the vector sends for a quantity."""
    if isinstance(profile.spec, ModbusProfile):
        registers = vector["registers"][str(profile.spec.modbus.fc)]
        return "".join(registers[str(profile.spec.quantity[quantity].addr)].split())
    assert isinstance(profile.spec, SnmpProfile)
    entry = profile.spec.quantity[quantity]
    oids = [oid.replace("{index}", str(vector["index"])) for oid in (entry.oid, entry.exponent_oid) if oid]
    return "".join("".join(vector["objects"][oid].split()) for oid in oids)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_meter_that_answers_as_its_manual_says_is_read_right(folder: str) -> None:
    vector = tomllib.loads((GOLDEN / folder / "vector.toml").read_text("utf-8"))
    profile = builtin_meter_profiles()[folder]
    for quantity, expected in vector["reading"].items():
        count, quality = decode(raw_of(profile, quantity, vector), profile.codes[quantity])
        spec = profile.spec.quantity[quantity]
        assert quality == Quality.GOOD
        assert count is not None
        assert count * step(quantity, spec.unit, spec.exponent) == Fraction(expected["value"]) * step(
            quantity, expected["unit"], 0
        )


def test_every_profile_has_a_golden_folder_covering_all_its_quantities() -> None:
    profiles = builtin_meter_profiles()
    assert sorted(profiles) == FOLDERS
    for name, profile in profiles.items():
        vector = tomllib.loads((GOLDEN / name / "vector.toml").read_text("utf-8"))
        assert set(vector["reading"]) == set(profile.spec.quantity)


def test_every_profile_is_in_a_file_of_its_own_name_and_names_its_source() -> None:
    for name, profile in builtin_meter_profiles().items():
        assert profile.id == name
        assert "http" in profile.spec.source
        assert profile.spec.resolution


def test_every_profile_counts_before_its_transformers_or_has_none() -> None:
    """By the documents each profile names: PM5xxx, A44, B24 hold their ratios, the others measure without any."""
    assert {profile.spec.side for profile in builtin_meter_profiles().values()} == {"primary"}


GOOD = """id = "m"
model = "M"
interface = "modbus-tcp"
firmware = "any"
source = "manual"
status = "bench"
resolution = "1 Wh"
side = "secondary"

[modbus]
fc = 3
max_regs = 125
gap = 0
word_order = "high-first"

[quantity.energy_import]
addr = 100
type = "u32"
unit = "Wh"
exponent = 0

[quantity.power]
addr = 102
type = "i16"
unit = "W"
exponent = 1

[[test]]
raw = { energy_import = "0001 0000", power = "FFFF" }
expect = { energy_import = 65536, power = -1 }
"""


def test_a_good_profile_is_kept_with_its_text() -> None:
    assert load_meter_profile(GOOD, "m.toml").text == GOOD


def test_a_profile_of_before_there_were_sides_is_of_unknown_side() -> None:
    assert load_meter_profile(GOOD, "m.toml").spec.side == "secondary"
    assert load_meter_profile(GOOD.replace('side = "secondary"\n', ""), "m.toml").spec.side is None


def test_the_first_register_can_hold_a_quantity() -> None:
    profile = load_meter_profile(GOOD.replace("addr = 100", "addr = 0"), "m.toml")
    assert isinstance(profile.spec, ModbusProfile)
    assert profile.spec.quantity["energy_import"].addr == 0


def test_a_profile_can_say_that_the_low_word_comes_first() -> None:
    profile = load_meter_profile(GOOD.replace("high-first", "low-first").replace("0001 0000", "0000 0001"), "m.toml")
    assert decode("00000001", profile.codes["energy_import"]) == (65536, Quality.GOOD)


def test_all_mistakes_of_one_vector_are_named() -> None:
    text = GOOD.replace("expect = { energy_import = 65536, power = -1 }", "expect = { power = 1 }")
    with pytest.raises(Fatal) as caught:
        load_meter_profile(text, "m.toml")
    assert str(caught.value).splitlines() == [
        "m.toml:16 energy_import: has no test vector; add raw bytes from a manual or a capture, "
        "with the count they mean",
        "m.toml:16 energy_import: a test vector needs the quantity, its raw bytes and its expected count",
        "m.toml:22 power: test vector 'FFFF' decodes to -1, expected 1",
    ]


MISTAKES = {
    "address beyond 65535": ("addr = 100\n", "addr = 190076\n", r"m\.toml:17 quantity\.energy_import\.addr: .*65535"),
    "missing unit": ('unit = "Wh"\n', "", r"m\.toml:16 quantity\.energy_import\.unit: missing; add it"),
    "unknown unit": ('"Wh"\n', '"Ws"\n', r"m\.toml:16 energy_import: unit 'Ws' is unknown"),
    "unit of another quantity": ('"Wh"\n', '"W"\n', r"m\.toml:16 energy_import: unit 'W' does not measure"),
    "unknown quantity": ("[quantity.power]", "[quantity.powwer]", r"m\.toml:22 powwer: quantity 'powwer' is unknown"),
    "value beyond the last register": ("addr = 102", "addr = 65535", None),
    "split value": ("addr = 102", "addr = 101", r"m\.toml:22 power: begins at 101, inside 'energy_import'"),
    "u32 over the end": ("addr = 100", "addr = 65535", r"m\.toml:16 energy_import: ends at address 65536, beyond"),
    "no test vector": ('power = "FFFF"', 'power2 = "FFFF"', r"m\.toml:22 power: has no test vector"),
    "wrong test vector": ("= -1 }", "= 1 }", r"m\.toml:22 power: test vector 'FFFF' decodes to -1, expected 1"),
    "vector of an unknown quantity": ('"FFFF" }', '"FFFF", volts = "00E6" }', r"^m\.toml:1 volts: a test vector needs"),
    "unknown key": ("gap = 0", "gapp = 0", r"m\.toml:13 modbus\.gapp: unknown key"),
    "read too short for a value": ("max_regs = 125", "max_regs = 3", r"m\.toml:12 modbus\.max_regs"),
    "writing function code": ("fc = 3", "fc = 6", r"m\.toml:11 modbus\.fc"),
    "unknown side": ('"secondary"', '"both"', r"m\.toml:8 side: .*'primary' or 'secondary' \(it is 'both'\)"),
    "unknown interface": ('"modbus-tcp"', '"bacnet"', r"m\.toml:1 interface: 'bacnet' is unknown"),
    "not TOML": ("id = ", "id == ", r"m\.toml: not TOML"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_file_line_and_remedy(mistake: str) -> None:
    old, new, message = MISTAKES[mistake]
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    if message is None:
        load_meter_profile(text, "m.toml")
        return
    with pytest.raises(Fatal, match=message):
        load_meter_profile(text, "m.toml")


def test_a_vector_for_a_quantity_the_profile_has_not_is_an_error() -> None:
    with pytest.raises(Fatal, match="voltage: a test vector needs"):
        load_meter_profile(GOOD.replace("power = -1 }", "power = -1, voltage = 1 }"), "m.toml")
