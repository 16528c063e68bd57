"""What deploy/ shows loads as it stands, and says all there is to set."""

from __future__ import annotations

import tomllib
from pathlib import Path

import agent.settings
import collector.settings
import compliance.settings

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"


def test_agent_example_loads() -> None:
    settings, profiles = agent.settings.load_settings(EXAMPLES / "agent.toml")
    assert {meter.profile for meter in settings.meter} <= set(profiles)


def test_collector_example_loads() -> None:
    assert collector.settings.load(EXAMPLES / "collector.toml").series.store == "influxdb"


def test_compliance_example_loads() -> None:
    assert compliance.settings.load(EXAMPLES / "compliance.toml").compliance.policies == ["yunnan-2022-draft"]


def test_collector_and_compliance_examples_name_the_same_store() -> None:
    collectors = tomllib.loads((EXAMPLES / "collector.toml").read_text())
    compliances = tomllib.loads((EXAMPLES / "compliance.toml").read_text())
    assert compliances["series"] == collectors["series"] | {"state_dir": collectors["collector"]["state_dir"]}
