"""Each outside library is imported in one module per package: the edge that translates it."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EDGES = {"paho", "pymodbus", "pysnmp", "influxdb_client", "iotcore", "uvicorn", "alembic", "cryptography"}
PACKAGES = ("agent", "collector", "compliance", "pue", "simulators")


def importers(package: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / package).rglob("*.py"):
        if "migrations" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                found[name.partition(".")[0]].add(str(path.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_each_edge_library_has_one_module(package: str) -> None:
    several = {name: paths for name, paths in importers(package).items() if name in EDGES and len(paths) > 1}
    assert not several


def test_write_functions_of_modbus_are_never_called() -> None:
    """Meters are read; nothing in the agent can change one."""
    calls = {
        f"{path.name}:{node.lineno} {node.attr}"
        for path in (ROOT / "agent").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith(("write_coil", "write_register", "diag_", "mask_write"))
    }
    assert not calls
