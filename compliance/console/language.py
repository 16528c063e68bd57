"""Which language a reader gets, and every text in it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

LANGUAGES = ("zh", "en")
DEFAULT = "zh"
HTML_LANG = {"zh": "zh-CN", "en": "en"}
_ACCEPTED = re.compile(r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?")


@dataclass(frozen=True, slots=True)
class Texts:
    """All texts of one language."""

    language: str
    by_key: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """A text with its places filled; a key that is not in the catalogue is a mistake of ours."""
        return self.by_key[key].format(**values)

    def code(self, prefix: str, code: str) -> str:
        """The words for a code of another part; one without words is shown as it is, never dropped."""
        return self.by_key.get(f"{prefix}.{code}", code)

    def pick(self, chinese: str, english: str) -> str:
        """Of a name given in both languages the reader's, or the one there is."""
        return (english or chinese) if self.language == "en" else (chinese or english)


def catalogue() -> dict[str, dict[str, str]]:
    """The whole file: dotted key to text per language."""
    text = (resources.files("compliance.console") / "texts.toml").read_text("utf-8")
    return dict(_leaves(tomllib.loads(text), ""))


def _leaves(table: Mapping[str, Any], prefix: str) -> list[tuple[str, dict[str, str]]]:
    found: list[tuple[str, dict[str, str]]] = []
    for name, value in table.items():
        if all(isinstance(text, str) for text in value.values()):
            found.append((prefix + name, value))
        else:
            found += _leaves(value, f"{prefix}{name}.")
    return found


def load_texts() -> dict[str, Texts]:
    """Texts by language."""
    table = catalogue()
    return {language: Texts(language, {key: row[language] for key, row in table.items()}) for language in LANGUAGES}


def choose(asked: str | None, accept_language: str | None) -> str:
    """The language of an answer: `?lang=`, else the browser's wish, else Chinese.

    Parameters
    ----------
    asked
        Value of the query's `lang`; an unknown one is as none.
    accept_language
        The request's header.
    """
    if asked in LANGUAGES:
        return asked
    wishes = {language: _weight(language, accept_language or "") for language in LANGUAGES}
    best = max(LANGUAGES, key=lambda language: wishes[language])
    return best if wishes[best] > 0 else DEFAULT


def _weight(language: str, header: str) -> float:
    matches = [_ACCEPTED.fullmatch(part) for part in header.split(",")]
    weights = {found[1].lower(): float(found[2] or 1) for found in reversed(matches) if found}
    return weights.get(language, weights.get("*", 0.0))
