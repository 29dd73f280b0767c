"""Ten two-level factors joined by `:` took twenty times as long as by `*`; thirteen never ended."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.model.design import variables


def frame(factors, levels=2, rows=60):
    rng = np.random.default_rng(0)
    columns = {f"f{i}": rng.integers(0, levels, rows).astype(str) for i in range(factors)}
    return pd.DataFrame({**columns, "y": rng.normal(size=rows), "g": np.arange(rows) % 10})


def joined(factors, by):
    return f"y ~ {by.join(f'f{i}' for i in range(factors))} + (1 | g)"


def test_a_colon_of_many_factors_is_coded_in_a_bounded_number_of_steps(monkeypatch):
    calls = []
    simplified = variables._simplified
    monkeypatch.setattr(variables, "_simplified", lambda span: calls.append(1) or simplified(span))
    design = lmmkit.lmm(joined(7, ":"), frame(7)).design
    assert len(design.fixed_names) == 2**7
    assert len(calls) < 2**8


def test_too_many_factors_are_refused_before_they_are_expanded():
    with pytest.raises(lmmkit.FormulaError, match=r"f0:f1.*more than 2,048 margins"):
        lmmkit.lmm(joined(13, ":"), frame(13))
    with pytest.raises(lmmkit.FormulaError, match=r"f0:f1:f2` has 59,319 columns, more than 10,000"):
        lmmkit.lmm(joined(3, ":"), frame(3, levels=40, rows=4000))
