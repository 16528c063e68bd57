"""The catalogue is complete in both languages, and the right one is chosen."""

from __future__ import annotations

import re
import string
from importlib import resources
from pathlib import Path

import pytest

from compliance.console import words
from compliance.console.language import LANGUAGES, catalogue, choose, load_texts
from pue.contract.quality import Flag
from pue.energy.windows import WINDOW_IDS
from pue.judgement.findings import Outcome
from pue.judgement.reasons import Reason

FOLDER = Path(str(resources.files("compliance.console")))
CODES = ("outcome", "fact_outcome", "meaning", "build", "scale", "stage", "window", "flag", "alert", "limit", "error")
"""Groups looked up by a code from elsewhere."""


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def used_keys() -> set[str]:
    sources = [path.read_text("utf-8") for path in (*FOLDER.glob("*.py"), *FOLDER.glob("templates/*.html"))]
    return {key for source in sources for key in re.findall(r"[\"']([a-z]+\.[a-z_0-9]+)[\"']", source)}


@pytest.mark.parametrize("key", sorted(catalogue()))
def test_text_is_there_in_both_languages_with_the_same_places(key: str) -> None:
    row = catalogue()[key]
    assert set(row) == set(LANGUAGES)
    assert all(text.strip() for text in row.values())
    assert len({frozenset(places(text)) for text in row.values()}) == 1


def test_every_key_the_code_uses_exists() -> None:
    groups = {key.partition(".")[0] for key in catalogue()}
    wanted = {key for key in used_keys() if key.partition(".")[0] in groups and not key.endswith(".html")}
    assert wanted - set(catalogue()) == set()


def test_every_text_is_used() -> None:
    built = (*(f"{group}." for group in CODES), "months.", "column.", "evidence.", "trend.", "facility.", "asof.")
    unused = {key for key in catalogue() if key not in used_keys() and not key.startswith(built)}
    assert unused == set()


@pytest.mark.parametrize(
    ("group", "codes"),
    [
        ("outcome", [*Outcome, words.NO_FINDING]),
        ("meaning", [*Outcome, words.NO_FINDING]),
        ("flag", [(flag.name or "").lower() for flag in Flag if flag]),
        ("window", list(WINDOW_IDS)),
        ("alert", ["pue_over_limit", "coverage_low", "meter_silent"]),
        ("build", ["new", "existing", "rebuild", "expansion"]),
        ("scale", ["small_medium", "large", "very_large"]),
        ("stage", ["existing", "under_construction", "proposed"]),
    ],
)
def test_every_code_of_other_parts_has_words(group: str, codes: list[str]) -> None:
    assert {f"{group}.{code}" for code in codes} <= set(catalogue())


def test_every_outcome_has_a_rank_and_an_icon() -> None:
    icons = (FOLDER / "templates" / "parts.html").read_text("utf-8")
    for code in (*Outcome, words.NO_FINDING):
        assert code in words.SEVERITY
        assert f'id="i-{code}"' in icons


@pytest.mark.parametrize("language", LANGUAGES)
def test_reasons_are_sentences_and_name_the_meter(language: str) -> None:
    texts = load_texts()[language]
    assert all(text and text not in set(Reason) for text in words.reasons(tuple(Reason), texts))
    named = words.reasons(("required_meter_missing:ups-a", "no_it_energy", "required_meter_missing:ups-b"), texts)
    assert len(named) == 2
    assert named[0].endswith("(ups-a, ups-b)")


def test_a_code_without_words_is_shown_as_it_is() -> None:
    texts = load_texts()["zh"]
    assert texts.code("alert", "brand_new") == "brand_new"
    assert words.flags(1 << 40, texts) == ["0x10000000000"]


@pytest.mark.parametrize(
    ("asked", "accept", "expected"),
    [
        (None, None, "zh"),
        (None, "", "zh"),
        (None, "fr-FR,fr;q=0.9", "zh"),
        (None, "en-GB,en;q=0.9", "en"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "en;q=0.4, zh;q=0.3", "en"),
        (None, "zh-TW;q=0.2,en;q=0.8", "en"),
        (None, "*", "zh"),
        (None, "en;q=0", "zh"),
        (None, "nonsense;;;,,q=", "zh"),
        ("en", "zh-CN", "en"),
        ("zh", "en", "zh"),
        ("xx", "en", "en"),
    ],
)
def test_language_is_the_one_asked_for_then_the_browsers_then_chinese(
    asked: str | None, accept: str | None, expected: str
) -> None:
    assert choose(asked, accept) == expected
