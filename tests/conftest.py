"""How long hypothesis searches: briefly here, for a long time with HYPOTHESIS_PROFILE=soak."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True)
settings.register_profile("mutation", max_examples=15, deadline=None, derandomize=True)
settings.register_profile("soak", max_examples=5_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
