"""Profile texts as installed data: the simulator copies them into a configuration batch and never reads them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

from pue.contract.errors import Fatal


def profile_texts(names: Iterable[str]) -> dict[str, str]:
    """Full text of each profile, by name.

    Raises
    ------
    Fatal
        If one is not installed.
    """
    return {name: _text(name) for name in sorted(names)}


def _text(name: str) -> str:
    file = files("pue") / "profiles" / f"{name}.toml"
    if not file.is_file():
        raise Fatal(f"profile {name!r} is not installed with pue; install the package again")
    return file.read_text(encoding="utf-8")
