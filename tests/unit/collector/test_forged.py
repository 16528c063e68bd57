"""Nothing forged is believed, and nothing honest refused: two thousand of each; a million in `make soak`."""

from __future__ import annotations

import pytest

from tests.soak import forged


def test_two_thousand_forged_inputs_leave_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forged, "FORGED", 2 * forged.ROUND * forged.PIECES)
    found = forged.piece(7, 0)
    assert len(found["kinds"]) == len(forged.SIGNED) + len(forged.UNSIGNED) + 3
    assert (found["accepted"], found["refused"]) == (0, 0)
