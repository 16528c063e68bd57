"""METHOD.md: its examples run, its headings exist, its words are used."""

from __future__ import annotations

import doctest
import re
from importlib import resources
from pathlib import Path

import pytest

from pue.contract.quality import Flag
from pue.contract.quantities import QUANTITIES
from pue.energy.windows import WINDOW_IDS
from pue.judgement.findings import Outcome
from pue.judgement.reasons import REASONS

PACKAGE = Path(str(resources.files("pue")))
TEXT = (PACKAGE / "METHOD.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
HEADINGS = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)


def test_every_example_gives_what_it_shows() -> None:
    names: dict[str, object] = {}
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    report: list[str] = []
    for number, block in enumerate(BLOCKS):
        example = doctest.DocTestParser().get_doctest(block, names, f"METHOD.md block {number}", None, 0)
        example.globs = names
        runner.run(example, out=report.append, clear_globs=False)
    assert runner.failures == 0, "".join(report)
    assert runner.tries > 20


def test_every_section_named_in_the_code_exists() -> None:
    sources = list(PACKAGE.rglob("*.py"))
    named = {name for path in sources for name in re.findall(r'METHOD\.md, "([^"]+)"', path.read_text("utf-8"))}
    assert named
    assert named <= set(HEADINGS)


def test_the_glossary_has_one_row_per_term_in_both_languages() -> None:
    table = TEXT[TEXT.index("## Glossary") : TEXT.index("## Conventions")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:2] == "| "]
    terms = rows[1:]
    assert len(terms) > 30
    assert all(len(row) == 4 and all(row[:3]) for row in terms)
    for column in (0, 1):
        words = [row[column] for row in terms]
        assert len(set(words)) == len(words)


@pytest.mark.parametrize("word", [*WINDOW_IDS, *Outcome])
def test_every_window_and_outcome_is_explained(word: str) -> None:
    assert f"`{word}`" in TEXT


def test_the_tables_say_what_the_code_says() -> None:
    rows = {line for line in TEXT.splitlines() if line.startswith("| `")}
    for code, text in REASONS.items():
        assert f"| `{code}` | {text.zh} | {text.en} |" in rows
    for quantity in QUANTITIES.values():
        assert f"| `{quantity.name}` | {quantity.zh} | {quantity.kind} | {quantity.base_unit} |" in rows
    marks = {row.split("`")[1] for row in rows}
    assert {flag.name for flag in Flag if flag} <= marks
