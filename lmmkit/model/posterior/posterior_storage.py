"""A posterior as a folder, and back: its fit, its draws as one table, its priors; no pickles.

fit/              the fit, as `Fit.save` writes it
draws.parquet     a row for each draw: coordinates, coefficients, log weight, log prior, log likelihood
posterior.json    priors as they were asked for, seed, k-hat
digests.json      SHA-256 of these
"""

from __future__ import annotations
