"""How long hypothesis searches: briefly here, for a long time with HYPOTHESIS_PROFILE=soak; and what no test may do."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.left_open import nothing_left_open

settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True)
settings.register_profile("mutation", max_examples=15, deadline=None, derandomize=True)
settings.register_profile("soak", max_examples=5_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(autouse=True)
def _a_test_leaves_nothing_open() -> Iterator[None]:
    """Refuse connections and files that the test, or fixtures of it alone, did not close."""
    with nothing_left_open():
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_fixture_leaves_anything_open() -> Iterator[None]:
    """The same for what whole modules share."""
    with nothing_left_open():
        yield
