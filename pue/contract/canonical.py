"""One byte string for one value, so that equal content hashes equal everywhere."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pue.contract.errors import Fatal

ZERO_HASH = "0" * 64
"""Predecessor of the first link of any chain."""


def canonical_json(value: Any) -> bytes:
    """Encode as UTF-8 JSON with sorted keys and no spaces.

    Raises
    ------
    Fatal
        On a float or any type JSON has not: write decimals as strings.
    """
    _refuse_floats(value, "$")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256_hex(data: bytes) -> str:
    """SHA-256 as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def content_hash(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return sha256_hex(canonical_json(value))


def _refuse_floats(value: Any, path: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise Fatal(f"{path} has the key {key!r}; canonical JSON takes text keys only")
            _refuse_floats(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_floats(item, f"{path}[{index}]")
    # bool is an int. A float is refused because its text differs from writer to writer.
    elif not isinstance(value, str | int | None):
        raise Fatal(f"{path} is {value!r}; canonical JSON takes text, integers, booleans and null: write it as text")
