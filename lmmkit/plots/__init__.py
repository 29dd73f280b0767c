"""Pictures: tables in, axes out. Nothing is computed here; a table says what to draw.

Each function returns its axes (or an array of them) on a figure of its own, so that a script can go
on drawing. `svg_bytes` gives the file: the same bytes each time.
"""

from lmmkit.plots.data import group_sizes, missing, response, spaghetti, trellis
from lmmkit.plots.effects import caterpillar, components, correlations, forest, random_pairs
from lmmkit.plots.equations import agreement, climb, matrices, surface
from lmmkit.plots.means import means
from lmmkit.plots.residuals import residual_panels
from lmmkit.plots.shown import shown
from lmmkit.plots.structure import blocks, candidates, path
from lmmkit.plots.style import svg_bytes

__all__ = [
    "agreement",
    "blocks",
    "candidates",
    "caterpillar",
    "climb",
    "components",
    "correlations",
    "forest",
    "group_sizes",
    "matrices",
    "means",
    "missing",
    "path",
    "random_pairs",
    "residual_panels",
    "response",
    "shown",
    "spaghetti",
    "surface",
    "svg_bytes",
    "trellis",
]
