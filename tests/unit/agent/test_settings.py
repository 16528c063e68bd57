"""The settings file: every mistake is named with file, line, field and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.settings import load_settings, load_signer, warnings
from pue.contract.errors import Fatal
from pue.contract.profile import builtin_meter_profiles
from pue.contract.signing import Signer

GOOD = """[agent]
id = "km01-a1"
site = "km01"
shard = "s0"
state_dir = "state"
key_file = "key"
poll_seconds = 15
[mqtt]
host = "127.0.0.1"
[[link]]
id = "bus1"
transport = "modbus-tcp"
host = "127.0.0.1"
[[link]]
id = "pdu"
transport = "snmp-v2c"
host = "127.0.0.1"
community = "public"
[[meter]]
id = "main-a"
link = "bus1"
unit_id = 1
profile = "schneider-pm5xxx"
serial = "SN1"
ct = "5/5"
quantities = ["energy_import", "power"]
[[meter]]
id = "rack-1"
link = "pdu"
index = 1
profile = "apc-rpdu2"
serial = "SN2"
quantities = ["energy_import"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "agent.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_good_settings_load_with_defaults(tmp_path: Path) -> None:
    settings, profiles = load_settings(write(tmp_path, GOOD))
    assert settings.agent.retain_days == 180
    assert settings.link[0].address == ("127.0.0.1", 502)
    assert settings.link[1].address == ("127.0.0.1", 161)
    assert settings.health is None
    assert "abb-b23" in profiles


MISTAKES = {
    "unknown key": ("poll_seconds", "poll_second", r"agent\.toml:7 agent\.poll_second: unknown key"),
    "too fast": ("poll_seconds = 15", "poll_seconds = 0.1", r"agent\.toml:7 agent\.poll_seconds"),
    "bad id": ('id = "km01-a1"', 'id = "KM01/a1"', r"agent\.toml:2 agent\.id"),
    "unknown link": ('link = "pdu"', 'link = "pdux"', r"agent\.toml:27 meter\[1\]\.link: 'pdux' is not one of"),
    "unknown profile": ('"apc-rpdu2"', '"apc"', r"agent\.toml:27 meter\[1\]\.profile: 'apc' is unknown; use one of"),
    "profile of the other protocol": (
        '"apc-rpdu2"', '"abb-b23"', r"meter\[1\]\.profile: 'abb-b23' speaks modbus-tcp, link 'pdu' snmp-v2c",
    ),
    "unit id missing": ("unit_id = 1\n", "", r"agent\.toml:19 meter\[0\]\.unit_id: missing"),
    "index on Modbus": ("unit_id = 1", "unit_id = 1\nindex = 2", r"meter\[0\]\.index: does not belong"),
    "unknown quantity": (
        '["energy_import"]', '["energy"]', r"meter\[1\]\.quantities: profile 'apc-rpdu2' has no 'energy'",
    ),
    "no quantities": ('["energy_import"]', "[]", r"agent\.toml:33 meter\[1\]\.quantities"),
    "quantity twice": ('["energy_import"]', '["power", "power"]', "a quantity is named twice"),
    "meter twice": ('id = "rack-1"', 'id = "main-a"', r"agent\.toml:27 meter\[1\]\.id: 'main-a' is used 2 times"),
    "community on Modbus": ('"modbus-tcp"\n', '"modbus-tcp"\ncommunity = "x"\n', "community belongs to snmp-v2c"),
    "no community": ('community = "public"\n', "", "needs either community or community_env"),
    "bad ratio": ('"5/5"', '"2000:5"', r"agent\.toml:25 meter\[0\]\.ct"),
    "ratio on the primary side": (
        'ct = "5/5"',
        'ct = "2000/5"',
        r"agent\.toml:19 meter\[0\]\.ct: meter 'main-a' is given '2000/5', but its "
        r"profile 'schneider-pm5xxx' counts on the primary side; remove ct: the meter counts it already",
    ),
    "voltage ratio on the primary side": (
        'ct = "5/5"',
        'pt = "10000/100"',
        r"meter\[0\]\.pt: meter 'main-a' is given '10000/100', .*; remove pt: the",
    ),
    "no meters": (GOOD[GOOD.index("[[meter]]") :], "", r"meter: missing"),
    "not TOML": ("[agent]", "[agent", r"agent\.toml: not TOML"),
    "no profile folder": ("poll_seconds = 15", 'profile_dir = "/nowhere"', "profile_dir /nowhere is not a folder"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake: str, tmp_path: Path) -> None:
    old, new, message = MISTAKES[mistake]
    assert old in GOOD
    with pytest.raises(Fatal, match=message):
        load_settings(write(tmp_path, GOOD.replace(old, new, 1)))


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = GOOD.replace('"apc-rpdu2"', '"apc"').replace("unit_id = 1\n", "")
    with pytest.raises(Fatal) as caught:
        load_settings(write(tmp_path, text))
    assert len(str(caught.value).splitlines()) == 2


def test_a_missing_file_is_named() -> None:
    with pytest.raises(Fatal, match=r"/nowhere/agent\.toml: No such file"):
        load_settings(Path("/nowhere/agent.toml"))


def test_the_community_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, _ = load_settings(
        write(tmp_path, GOOD.replace('community = "public"', 'community_env = "PDU_COMMUNITY"'))
    )
    with pytest.raises(Fatal, match="PDU_COMMUNITY is not set"):
        settings.link[1].community_text()
    monkeypatch.setenv("PDU_COMMUNITY", "secret")
    assert settings.link[1].community_text() == "secret"


def with_own_profile(folder: Path, change: tuple[str, str]) -> str:
    """Settings whose second meter has the operator's own profile: a changed copy of ours."""
    own = folder / "profiles"
    own.mkdir()
    text = builtin_meter_profiles()["apc-rpdu2"].text
    assert change[0] in text
    (own / "mine.toml").write_text(text.replace('id = "apc-rpdu2"', 'id = "mine"').replace(*change, 1))
    return GOOD.replace('"apc-rpdu2"', '"mine"').replace("poll_seconds", f'profile_dir = "{own}"\npoll_seconds')


def test_an_operators_own_profile_is_one_file(tmp_path: Path) -> None:
    _, profiles = load_settings(write(tmp_path, with_own_profile(tmp_path, ("", ""))))
    assert profiles["mine"].id == "mine"


def test_an_own_profile_that_does_not_state_its_side_is_read_and_warned_of(tmp_path: Path) -> None:
    text = with_own_profile(tmp_path, ('side = "primary"\n', "")).replace('"SN2"', '"SN2"\nct = "2000/5"')
    (warning,) = warnings(*load_settings(write(tmp_path, text)))
    assert warning.startswith("profile 'mine' does not state its side; add side = \"primary\" to its file if")


def test_our_own_profiles_give_no_warning(tmp_path: Path) -> None:
    assert not list(warnings(*load_settings(write(tmp_path, GOOD))))


def test_a_meter_that_counts_on_the_secondary_side_may_have_ratios(tmp_path: Path) -> None:
    text = with_own_profile(tmp_path, ('side = "primary"', 'side = "secondary"'))
    settings, _ = load_settings(
        write(tmp_path, text.replace('serial = "SN2"', 'serial = "SN2"\nct = "2000/5"\npt = "100"'))
    )
    assert (settings.meter[1].ct, settings.meter[1].pt) == ("2000/5", "100")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(Signer.generate().to_text())
    key.chmod(0o644)
    with pytest.raises(Fatal, match="chmod 600"):
        load_signer(key)
    key.chmod(0o600)
    assert load_signer(key).key_id
    key.write_text("nonsense")
    with pytest.raises(Fatal, match="not 32 bytes"):
        load_signer(key)
