"""Since when an outcome holds, and which facts a period is judged by."""

from __future__ import annotations

import pytest

from compliance.judging import Written, since_ms

SHORT = {"n": "non_compliant", "c": "compliant", "i": "indeterminate", "d": "insufficient_data", "x": "invalid_data"}


@pytest.mark.parametrize(
    ("outcomes", "since"),
    [
        ("nnn", 0),
        ("cnn", 1),
        ("ndn", 0),
        ("nxddn", 0),
        ("cdn", 2),
        ("cdnn", 2),
        ("nin", 2),
        ("nidn", 3),
        ("ncdn", 3),
        ("cdc", 2),
        ("cc", 0),
        ("ndd", 1),
        ("dxd", 2),
    ],
)
def test_want_of_data_ends_no_breach_and_anything_else_does(outcomes: str, since: int) -> None:
    """One finding per period, the last one in force."""
    rows = [Written(period, 1 + period, SHORT[letter], ()) for period, letter in enumerate(outcomes)]
    assert since_ms(rows, len(outcomes) - 1, rows[-1].outcome) == since


def test_of_two_findings_of_one_period_the_last_written_says_whether_the_breach_went_on() -> None:
    rows = [
        Written(as_of_ms, seq, SHORT[letter], ())
        for seq, (as_of_ms, letter) in enumerate([(0, "n"), (1, "c"), (2, "n")])
    ]
    assert since_ms(rows, 2, "non_compliant") == 2
    assert since_ms([*rows, Written(1, 9, "insufficient_data", ())], 2, "non_compliant") == 0
