"""Small tables for the tests of formulas and designs."""

from __future__ import annotations

import pandas as pd
import pytest
from support.factorial import full_factorial


@pytest.fixture(scope="session")
def factorial() -> pd.DataFrame:
    return full_factorial()
