"""Pictures: tables in, axes out. Nothing is computed here; a table says what to draw.

Each function returns its axes (or an array of them) on a figure of its own, so that a script can go
on drawing. `svg_bytes` gives the file: the same bytes each time.
"""

from lmmkit.plots.data import effect, group_sizes, missing, response, spaghetti, trellis
from lmmkit.plots.dropouts import assumptions, dropout, tipping
from lmmkit.plots.effects import (
    candidates,
    caterpillar,
    comparison_arrows,
    components,
    correlations,
    forest,
    interactions,
    means,
    random_pairs,
    structures,
)
from lmmkit.plots.envelopes import envelopes
from lmmkit.plots.fitting import (
    agreement,
    autocorrelation,
    blocks,
    cell_sds,
    climb,
    matrices,
    path,
    relationships,
    residual_panels,
    surface,
    variance_curve,
    variogram,
)
from lmmkit.plots.interval_pictures import interval_comparison, profile_zeta
from lmmkit.plots.leaving_out import influence, shrinkage
from lmmkit.plots.meetings import incidence
from lmmkit.plots.posterior_pictures import estimates_and_posterior, predictive, prior_and_posterior, ranks
from lmmkit.plots.selection_steps import selection_path
from lmmkit.plots.style import shown, svg_bytes

__all__ = [
    "agreement",
    "assumptions",
    "autocorrelation",
    "blocks",
    "candidates",
    "caterpillar",
    "cell_sds",
    "climb",
    "comparison_arrows",
    "components",
    "correlations",
    "dropout",
    "effect",
    "envelopes",
    "estimates_and_posterior",
    "forest",
    "group_sizes",
    "incidence",
    "influence",
    "interactions",
    "interval_comparison",
    "matrices",
    "means",
    "missing",
    "path",
    "predictive",
    "prior_and_posterior",
    "profile_zeta",
    "random_pairs",
    "ranks",
    "relationships",
    "residual_panels",
    "response",
    "selection_path",
    "shown",
    "shrinkage",
    "spaghetti",
    "structures",
    "surface",
    "svg_bytes",
    "tipping",
    "trellis",
    "variance_curve",
    "variogram",
]
