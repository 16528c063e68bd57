"""A pytest plugin: hypothesis tries as many examples of every test as PUE_EXAMPLES says, whatever the test itself says.

Tests state how many examples a change is worth; a soak is worth more, and a mutant less.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import is_hypothesis_test, settings

_SETTINGS = "_hypothesis_internal_use_settings"  # where hypothesis 6 keeps a test's own settings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every property test its number of examples."""
    number = os.environ.get("PUE_EXAMPLES")
    if number is None:
        return
    for item in items:
        test = getattr(item, "obj", None)
        test = getattr(test, "__func__", test)
        if is_hypothesis_test(test):
            own = getattr(test, _SETTINGS, None) or settings()
            setattr(test, _SETTINGS, settings(own, max_examples=int(number), deadline=None))
