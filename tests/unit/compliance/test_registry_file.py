from __future__ import annotations

import re

import pytest

from compliance.registry_file import read_registry
from pue.contract.errors import Fatal
from tests.unit.compliance.made import METER, USCC, at, facility_toml, registry_toml

GOOD = registry_toml()


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_a_good_file_is_read_whole() -> None:
    facility = read_registry(GOOD, "registry.toml").facility[0]
    assert (facility.id, facility.site, facility.enterprise) == ("km01", "km01", USCC)
    assert [(meter.id, meter.a, meter.b) for meter in facility.meter] == [("main", "1", "0"), ("it", "0", "1")]
    assert facility.meter[0].version[0].registers[0].modulus is None


def test_weights_are_exact_fractions_in_lowest_terms() -> None:
    text = GOOD.replace('a = "1"', 'a = "-99/30"').replace('b = "1"', 'b = "0.25"')
    meters = read_registry(text, "registry.toml").facility[0].meter
    assert (meters[0].a, meters[1].b) == ("-33/10", "1/4")


def test_what_nobody_registered_has_no_value_that_stands_in_for_it() -> None:
    text = GOOD.replace('meter_class = "0.2S"\n', "").replace('ct_class = "0.2S"\n', "")
    facility = read_registry(text, "registry.toml").facility[0]
    version = facility.meter[0].version[0]
    assert (version.meter_class, version.ct_class, version.pt_class) == ("", "", "")
    assert (version.certificate_to, version.is_class_known) == (None, False)
    assert facility.known_incentives is None


@pytest.mark.parametrize(
    ("lines", "is_known", "classes"),
    [
        ('meter_class = "0.5S"', True, ("0.5S", "", "")),
        ('meter_class = "0.5S"\nct = "5/5"', True, ("0.5S", "", "")),
        ('meter_class = "0.5S"\nct = "400/5"', False, ("0.5S", "3", "")),
        ('meter_class = "0.5S"\nct = "400/5"\nct_class = "0.2S"', True, ("0.5S", "0.2S", "")),
        ('meter_class = "0.5S"\nct = "400/5"\nct_class = "0.2S"\npt = "100"', False, ("0.5S", "0.2S", "3")),
        ('meter_class = "0.5S"\nct_class = "0.2S"', True, ("0.5S", "0.2S", "")),
        ('ct_class = "0.2S"', False, ("3", "0.2S", "")),
    ],
)
def test_a_class_is_needed_of_the_meter_and_of_each_transformer_there_is(
    lines: str, is_known: bool, classes: tuple[str, str, str]
) -> None:
    text = GOOD.replace('meter_class = "0.2S"\nct_class = "0.2S"', lines)
    version = read_registry(text, "registry.toml").facility[0].meter[0].version[0]
    assert (version.is_class_known, version.classes) == (is_known, classes)


def test_a_certificate_is_valid_on_its_last_day_and_the_last_date_of_all_is_no_end() -> None:
    def ends_ms(day: str) -> int | None:
        text = GOOD.replace("max_power_w", f"certificate_to = {day}\nmax_power_w", 1)
        return read_registry(text, "registry.toml").facility[0].meter[0].version[0].certificate_ends_ms("Asia/Shanghai")

    assert ends_ms("2026-06-30") == at("2026-07-01T00:00")
    assert ends_ms("9999-12-31") is None


def test_no_favour_is_known_only_where_somebody_looked() -> None:
    def known(lines: str) -> tuple[str, ...] | None:
        text = GOOD.replace("hub_cluster", f"{lines}\nhub_cluster", 1)
        return read_registry(text, "registry.toml").facility[0].known_incentives

    assert known("") is None
    assert known("incentives = []") is None
    assert known("incentives_surveyed = true") == ()
    assert known('incentives = ["土地"]') == ("土地",)


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        (f'enterprise = "{USCC}"', 'enterprise = "91530100MA6K0000XX"', "facility[0].enterprise", "check digit is X"),
        ('region = "530100"', 'region = "530200"', "facility[0].region", "no prefecture has the code 530200"),
        ('stage = "existing"', 'stage = "old"', "facility[0].stage", "'existing', 'under_construction' or 'proposed'"),
        ('build = "new"', 'build = "new"\ntimezone = "Asia/Kunming"', "facility[0].timezone", "IANA"),
        ('build = "new"', 'build = "new"\ntimezone = "Asia"', "facility[0].timezone", "IANA"),
        ('stage = "existing"', 'stage = "existing"\nsite = "A b"', "facility[0].site", "match pattern"),
        ("standard_racks = 4000", "standard_racks = -1", "facility[0].standard_racks", "greater than or equal to 0"),
        ("standard_racks = 4000", "standard_racks = 4000\nracks = 1", "facility[0].racks", "unknown key"),
        ('a = "1"', 'a = "one"', "facility[0].meter[0].a", "not an exact fraction"),
        ('a = "1"', 'a = "1/0"', "facility[0].meter[0].a", "not an exact fraction"),
        ('a = "1"', 'a = "1e999999999"', "facility[0].meter[0].a", "not an exact fraction"),
        ('a = "1"', 'parent = "b"', "facility[0].meter[0].parent", "'b' is no meter of this facility"),
        ('a = "1"', 'parent = "main"', "facility[0].meter[0].parent", "hangs under itself"),
        ('a = "1"', 'quantity = "heat"', "facility[0].meter[0].version[0].registers", "no register measures"),
        ('a = "1"', 'quantity = "warmth"', "facility[0].meter[0].quantity", "unknown quantity"),
        ('unit = "Wh"', 'unit = "W"', "facility[0].meter[0].version[0].registers[0]", "does not measure"),
        ("2025-01-01T00:00:00+08:00", "2025-01-01T00:00:00", "facility[0].meter[0].version[0].from", "timezone"),
        ("2025-01-01T00:00:00+08:00", "1969-12-31T00:00:00Z", "facility[0].meter[0].version[0].from", "before 1970"),
        (
            "modulus = 0",
            "modulus = 9223372036854775808",
            "facility[0].meter[0].version[0].registers[0].modulus",
            "less",
        ),
        (
            "max_power_w = 8000000",
            "max_power_w = 10_000_000_000_000",
            "facility[0].meter[0].version[0].max_power_w",
            "less",
        ),
        ("max_power_w = 8000000", "max_power_w = 0", "facility[0].meter[0].version[0].max_power_w", "greater than 0"),
        ('meter_class = "0.2S"', 'meter_class = "9"', "facility[0].meter[0].version[0]", "meter class '9' is unknown"),
        ('meter_class = "0.2S"', 'ct = "0/5"', "facility[0].meter[0].version[0].ct", "match pattern"),
        ('public_key = "', 'public_key = "x', "facility[0].agent[0].public_key", "not an Ed25519 public key"),
        ('shard = "s0"', 'configs = ["x"]\nshard = "s0"', "facility[0].agent[0].configs[0]", "match pattern"),
    ],
)
def test_an_error_names_file_line_field_and_fault(old: str, new: str, place: str, message: str) -> None:
    text = GOOD.replace(old, new, 1)
    with pytest.raises(Fatal) as error:
        read_registry(text, "registry.toml")
    first = str(error.value).splitlines()[0]
    found = re.fullmatch(r"registry\.toml:(\d+) (\S+): (.*)", first)
    assert found is not None, first
    assert found[2] == place
    assert message in found[3]
    assert len(str(error.value).splitlines()) == 1, "one fault, one line"


def test_the_line_is_that_of_the_fault() -> None:
    text = GOOD.replace('b = "1"', 'b = "one"')
    line = line_of(text, '"one"')
    with pytest.raises(Fatal, match=f"^registry.toml:{line} "):
        read_registry(text, "registry.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (registry_toml(facility_toml(), facility_toml()), "facility 'km01' stands here for the second time"),
        (GOOD + f'[[enterprise]]\nuscc = "{USCC}"\nname = "x"\n', "enterprise '[0-9A-Z]+' stands here for the second"),
        (
            registry_toml(facility_toml("km01"), facility_toml("km02").replace('"km02-a1"', '"km01-a1"')),
            "agent 'km01-a1' stands here for the second time",
        ),
        (
            registry_toml(facility_toml("km01"), facility_toml("km02").replace("name_en", 'site = "km01"\nname_en')),
            "site 'km01' stands here for the second time",
        ),
        (GOOD.replace('id = "it"', 'id = "main"'), "meter 'main' stands here for the second time"),
        (GOOD + METER[METER.index("[[facility.meter.version]]") :].format(id="x"), "order versions by time"),
    ],
)
def test_what_must_be_unique_or_ordered_is_checked(text: str, message: str) -> None:
    if "order versions" in message:
        version = METER[METER.index("[[facility.meter.version]]") :].format(id="x")
        text = GOOD.replace("\n[[facility.agent]]", version + "\n[[facility.agent]]")
    with pytest.raises(Fatal, match=message):
        read_registry(text, "registry.toml")


def test_a_meter_needs_a_version() -> None:
    text = GOOD.replace("\n[[facility.agent]]", '\n[[facility.meter]]\nid = "ups"\n\n[[facility.agent]]')
    with pytest.raises(Fatal, match=r"meter 'ups' has no \[\[facility.meter.version\]\]"):
        read_registry(text, "registry.toml")


def test_a_version_ends_where_the_next_begins_or_at_its_own_end() -> None:
    def version(start: str, end: str = "") -> str:
        text = METER[METER.index("[[facility.meter.version]]") :].format(id="x").replace("2025-01-01", start)
        return text.replace("serial", f"to = {end}T00:00:00+08:00\nserial") if end else text

    more = version("2025-03-01", "2025-04-01") + version("2025-05-01")
    text = GOOD.replace('\n[[facility.meter]]\nid = "it"', more + '\n[[facility.meter]]\nid = "it"')
    meter = read_registry(text, "registry.toml").facility[0].meter[0]
    starts = [one.from_ms for one in meter.version]
    assert meter.ends_ms == [starts[1], starts[1] + 31 * 86_400_000, None]
    early = text.replace("to = 2025-04-01", "to = 2025-05-02")
    with pytest.raises(Fatal, match="ends after the next version has begun"):
        read_registry(early, "registry.toml")
