"""Documents that cannot rot: every setting, command, metric, code and link is looked up."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.main import get_command

import agent.cli
import agent.settings
import collector.cli
import collector.settings
import compliance.cli
import compliance.settings
from pue.contract.errors import RejectReason
from pue.contract.quality import Flag, Quality
from pue.contract.quantities import QUANTITIES
from pue.contract.series import READING_FIELDS, SLOT_FIELDS
from pue.judgement.reasons import Reason

ROOT = Path(__file__).parents[2]
DOCUMENTS: dict[str, type[BaseModel]] = {
    "agent": agent.settings.AgentSettings,
    "collector": collector.settings.Document,
    "compliance": compliance.settings.ComplianceSettings,
}
COMMANDS = {"agent": agent.cli.app, "collector": collector.cli.app, "compliance": compliance.cli.app}


@cache
def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def fields(model: type[BaseModel]) -> Iterator[str]:
    """Every key that may stand in a settings file."""
    for name, field in model.model_fields.items():
        yield name
        found = [*_models(field.annotation)]
        for inner in found:
            yield from fields(inner)


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)


@pytest.mark.parametrize("package", DOCUMENTS)
def test_every_setting_is_described(package: str) -> None:
    missing = {name for name in fields(DOCUMENTS[package]) if name not in text(f"{package}/README.md")}
    assert not missing


@pytest.mark.parametrize("package", COMMANDS)
def test_every_command_is_described(package: str) -> None:
    commands = getattr(get_command(COMMANDS[package]), "commands", {})
    missing = {name for name in commands if name not in text(f"{package}/README.md")}
    assert commands
    assert not missing


@pytest.mark.parametrize("package", ["agent", "collector"])
def test_every_metric_is_described(package: str) -> None:
    named = set(re.findall(rf'"(pue_{package}_[a-z_]+)"', text(f"{package}/health.py")))
    assert named
    assert not {name for name in named if name not in text(f"{package}/README.md")}


def test_every_refusal_and_quality_bit_is_in_the_wire_contract() -> None:
    names = [*RejectReason, *(bit.name or "" for bit in Quality)]
    assert not {name for name in names if name not in text("pue/WIRE.md")}


def test_the_wire_contract_gives_every_quality_bit_its_number() -> None:
    rows = {f"| {bit.value.bit_length() - 1} | {bit.name}" for bit in Quality}
    assert not {row for row in rows if row not in text("pue/WIRE.md")}


def test_every_flag_column_quantity_and_reason_is_in_the_method() -> None:
    words = {flag.name or "" for flag in Flag} | {code.value for code in Reason}
    words |= {*READING_FIELDS, *SLOT_FIELDS, *QUANTITIES}
    assert not {word for word in words if word not in text("pue/METHOD.md")}


def tracked(pattern: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.split()


@pytest.mark.parametrize("document", tracked("*.md"))
def test_links_between_documents_lead_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text(document))
    folder = (ROOT / document).parent
    assert not {link for link in links if not (folder / link).exists()}


@pytest.mark.parametrize("document", ["ARCHITECTURE.md"])
def test_modules_named_in_the_architecture_exist(document: str) -> None:
    names = set(
        re.findall(r"`((?:agent|collector|compliance|pue|simulators)/[\w/.-]+\.(?:py|toml|json|md))`", text(document))
    )
    assert len(names) > 20
    assert not {name for name in names if not (ROOT / name).exists()}


def test_both_readmes_start_with_the_two_commands() -> None:
    for document in ("README.md", "README.zh-CN.md"):
        block = text(document).split("```")[1]
        assert re.findall(r"^make \w+", block, re.MULTILINE) == ["make demo", "make test"]


def test_both_readmes_name_the_same_commands() -> None:
    def commands(document: str) -> list[str]:
        return re.findall(r"^(?:make|pip|pue-\w+|curl) [^#\n]+", text(document), re.MULTILINE)

    assert commands("README.md") == commands("README.zh-CN.md")
