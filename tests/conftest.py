"""For all tests: property tests that are the same on every run and machine, however busy it is."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("lmmkit", deadline=None, derandomize=True)
settings.load_profile("lmmkit")
