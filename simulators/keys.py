"""Key files of mode 0600."""

from __future__ import annotations

import os
from pathlib import Path

from pue.contract.signing import Signer


def read_key(path: Path) -> Signer:
    """Read a private key.

    Raises
    ------
    Fatal
        If the file holds none.
    """
    return Signer.from_text(path.read_text(encoding="ascii"))


def write_key(path: Path) -> Signer:
    """Make a key and write it where only its owner can read it."""
    signer = Signer.generate()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(signer.to_text() + "\n")
    return signer
