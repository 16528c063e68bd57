"""The wheel owns our five top-level names, and carries the data the code reads."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("agent", "collector", "compliance", "pue", "simulators")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def test_installed_names_belong_to_our_distribution_only(wheel: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), str(wheel)]
    subprocess.run(command, check=True)
    program = (
        "import sys; from importlib.metadata import packages_distributions as owners; "
        f"found = owners(); print([sorted(set(found[name])) for name in {NAMES}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = [{str(tmp_path)!r}, *sys.path]; {program}"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.strip() == str([["pue-compliance"]] * len(NAMES))


def test_no_other_installed_distribution_claims_our_names() -> None:
    owners = packages_distributions()
    assert {name: set(owners.get(name, [])) - {"pue-compliance"} for name in NAMES} == {name: set() for name in NAMES}


def test_every_data_file_is_in_the_wheel(wheel: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", *NAMES], cwd=ROOT, capture_output=True, text=True, check=True)
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert set(tracked.stdout.split()) <= inside
