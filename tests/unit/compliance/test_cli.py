from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from compliance import cli
from compliance.settings import without_password
from pue.contract.errors import PueError
from tests.unit.compliance.made import KEY, registry_toml

CONFIG = """[compliance]
issuer = "yunnan"
database = "sqlite:///registry.sqlite"
key_file = "compliance.key"
topology_file = "topology.signed"

[series]
path = "series.sqlite"
state_dir = "collector"
"""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("compliance.toml").write_text(CONFIG)
    Path("registry.toml").write_text(registry_toml(), encoding="utf-8")
    Path("compliance.key").touch(mode=0o600)
    Path("compliance.key").write_text(KEY.to_text())


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["pue-compliance", *line.split()])
    code = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("[series]", "port = 1\n[series]", "check", "error: compliance.toml:7 compliance.port: unknown key; remove it"),
        ('issuer = "yunnan"', 'issuer = "云南"', "check", "error: compliance.toml:2 compliance.issuer: "),
        ('path = "series.sqlite"', "", "check", 'error: compliance.toml:7 series: store = "sqlite" needs path'),
        ('issuer = "yunnan"', "issuer = ", "check", "error: compliance.toml: not TOML"),
        (
            'issuer = "yunnan"',
            'issuer = "y"\npolicies = ["x"]',
            "check",
            "error: policy profile 'x' is unknown; use",
        ),
        (
            '"compliance.key"',
            '"other.key"',
            "check",
            "error: cannot read other.key: No such file or directory; write",
        ),
        ('"sqlite:///registry.sqlite"', '"mysql://u:pw@h/x"', "verify", "error: database 'mysql://u:***@h/x'"),
        ("", "", "import nothing.toml", "error: cannot read nothing.toml: No such file or directory; check the path"),
        ("", "", "approve-config xyz", "error: 'xyz' is no SHA-256"),
        ("", "", "release km01-a1 xyz 1 2 --reason seen", "error: agent 'km01-a1' is not registered"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], old: str, new: str, line: str, message: str
) -> None:
    Path("compliance.toml").write_text(CONFIG.replace(old, new, 1), encoding="utf-8")
    code, out, err = run(monkeypatch, capsys, f"{line} --config compliance.toml")
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_a_missing_settings_file_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(monkeypatch, capsys, "serve --config none.toml")
    assert (code, err) == (2, "error: cannot read none.toml: No such file or directory; check the path\n")


def test_a_key_others_can_read_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("compliance.key").chmod(0o644)
    code, _, err = run(monkeypatch, capsys, "check --config compliance.toml")
    assert (code, err) == (2, "error: key file compliance.key can be read by others; run: chmod 600 compliance.key\n")


def test_debug_shows_where_an_error_arose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pue-compliance", "check", "--config", "none.toml", "--debug"])
    with pytest.raises(PueError, match=r"none\.toml"):
        cli.main()


def test_import_writes_once_and_a_dry_run_never(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def do(line: str) -> str:
        code, out, err = run(monkeypatch, capsys, f"{line} --config compliance.toml")
        assert (code, err) == (0, "")
        return out

    assert "events to write: 5" in do("import registry.toml --dry-run")
    assert do("verify").startswith("0 events")
    assert do("import registry.toml").splitlines()[-1] == "events written: 5"
    assert do("import registry.toml").splitlines()[-1] == "events written: 0"
    assert do("verify").startswith("6 events, unbroken; head ")
    assert Path("topology.signed").exists()
    assert "topology version 2" in do(f"approve-config {'a' * 64}")
    assert "was approved before; topology version 2" in do(f"approve-config {'a' * 64}")
    assert "topology version 2: 2 meters, 1 agents" in do("topology")
    let_in = do(f"release km01-a1 {'0' * 20} 3 9 --reason seen --as li")
    assert let_in == f"km01-a1/{'0' * 20}/3..9 released by li; topology version 3\n"


def test_an_error_in_the_registry_names_file_and_line_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("registry.toml").write_text(registry_toml().replace('"530100"', '"530200"'), encoding="utf-8")
    code, _, err = run(monkeypatch, capsys, "import registry.toml --config compliance.toml")
    assert code == 2
    assert err.startswith("error: registry.toml:11 facility[0].region: no prefecture has the code 530200")
    assert not Path("topology.signed").exists()


def test_evaluating_without_a_series_store_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, capsys, "import registry.toml --config compliance.toml")
    code, out, err = run(monkeypatch, capsys, "evaluate --config compliance.toml")
    assert (code, out) == (0, "events written: 0\n")
    assert err == (
        "missing: series store series.sqlite does not exist yet; start the collector or run `pue-collector import`\n"
    )


def test_rebuild_verifies_and_writes_the_topology_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, capsys, "import registry.toml --config compliance.toml")
    content = Path("topology.signed").read_bytes()
    Path("topology.signed").unlink()
    code, out, _ = run(monkeypatch, capsys, "rebuild --config compliance.toml")
    assert code == 0
    assert out.startswith("6 events, unbroken")
    assert Path("topology.signed").read_bytes() == content


def test_a_new_key_is_readable_by_its_owner_only_and_never_overwritten(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, "keygen --out keys/new.key")
    assert code == 0
    assert len(out.strip()) == 44
    assert stat.S_IMODE(Path("keys/new.key").stat().st_mode) == 0o600
    code, _, err = run(monkeypatch, capsys, "keygen --out keys/new.key")
    assert (code, err) == (2, "error: cannot write keys/new.key: File exists; give a file that does not exist yet\n")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://u:p@h/n", "postgresql+psycopg://u:***@h/n"),
        ("postgresql+psycopg://u@h/n", "postgresql+psycopg://u@h/n"),
        ("sqlite:///a.sqlite", "sqlite:///a.sqlite"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown
