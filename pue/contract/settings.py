"""TOML text into frozen settings, with every error named by file, line and field."""

from __future__ import annotations

import re
import tomllib
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from pue.contract.errors import Fatal


class Settings(BaseModel):
    """Base of every settings table: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Model = TypeVar("Model", bound=BaseModel)
Path = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_-]+|\"[^\"]+\")\s*=")


def parse(text: str, model: type[Model], name: str) -> Model:
    """Read and validate a TOML document.

    Parameters
    ----------
    text
        The document.
    model
        Pydantic model of the whole document.
    name
        What to call it in messages: its file name.

    Raises
    ------
    Fatal
        With one line per error: file, line, field, what is wrong.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Fatal(f"{name}: not TOML: {error}") from None
    try:
        return model.model_validate(document)
    except ValidationError as errors:
        lines = _lines(text)
        raise Fatal("\n".join(_describe(error, lines, name) for error in errors.errors())) from None


def _describe(error: ErrorDetails, lines: dict[Path, int], name: str) -> str:
    path: Path = error["loc"]
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "unknown key; remove it or correct its spelling"
    elif error["type"] == "missing":
        message = "missing; add it"
    elif isinstance(error["input"], str | int | float):
        message = f"{message} (it is {error['input']!r})"
    return f"{name}:{_line(path, lines)} {_field(path)}: {message}"


def _line(path: Path, lines: dict[Path, int]) -> int:
    # The longest part of the path that has a line of its own: a key that is missing is shown at its table.
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return 1


def _field(path: Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "document"


def _lines(text: str) -> dict[Path, int]:
    """Where each table and key starts; arrays of tables are counted."""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _enter(header[1] == "[[", [part.strip(' "') for part in header[2].split(".")], counts)
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, key[1].strip('"')), number)
    return found


def _enter(is_array: bool, names: list[str], counts: dict[Path, int]) -> Path:
    path: Path = ()
    for name in names[:-1]:
        path = (*path, name)
        if path in counts:
            # Below an array of tables a name means its newest member: [rule.citation] after the third [[rule]] is
            # rule[2].citation.
            path = (*path, counts[path] - 1)
    path = (*path, names[-1])
    if not is_array:
        return path
    counts[path] = counts.get(path, 0) + 1
    return (*path, counts[path] - 1)
