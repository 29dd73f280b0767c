"""Marginal means: the grid that they average over, and their table with its comparisons."""
