"""A few visits of one group of subjects, with one row at each."""

from __future__ import annotations

import numpy as np

from lmmkit.engine.covariance.residual_structure import one_correlation
from lmmkit.engine.problem import Problem, Residual

THREE = ("1", "2", "3")


def over(correlation, visits=THREE, times=(1, 2, 3), **options):
    return one_correlation(correlation, times, visits, **options)


def problem_of(structure, cells, subjects, response, columns=(), names=()):
    columns = (np.broadcast_to(1.0, len(response)), *columns)
    residual = Residual(structure, np.asarray(cells), np.asarray(subjects), names)
    return Problem(columns, tuple(range(len(columns))), np.asarray(response, float), (), residual=residual)


def rows(subjects, visits=3):
    return np.tile(np.arange(visits), subjects), np.repeat(np.arange(subjects), visits)


def noise(count, seed=0):
    return np.random.default_rng(seed).normal(size=count)
