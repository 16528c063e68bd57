"""Who may load what, seen from a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"numpy", "fastapi", "influxdb_client", "sqlalchemy", "pandas", "polars", "jinja2"}


def loaded_by(module: str) -> set[str]:
    """Top-level modules in memory after one import."""
    program = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "pue.contract.wire",
        "pue.contract.topology",
        "pue.contract.profile",
        "pue.contract.decode",
        "pue.contract.settings",
    ],
)
def test_the_wire_half_of_pue_is_light(module: str) -> None:
    assert not loaded_by(module) & HEAVY


def test_the_agent_carries_nothing_of_the_server_side() -> None:
    assert not loaded_by("agent.app") & HEAVY


@pytest.mark.parametrize("command", ["agent", "collector", "compliance", "simulators"])
def test_help_needs_no_heavy_library(command: str) -> None:
    assert not loaded_by(f"{command}.cli") & HEAVY
