"""Arrays in, numbers out; numpy and scipy only.

Read `problem` (what is given), `criterion` (theta to deviance, gradient, Hessian), `search` (to the optimum,
by `rules`), then `solve`, which puts them together. `crossproducts` makes sums of rows before, `inference`,
`variance_tests`, `profiles` and `replicates` begin at the optimum, and `referee` checks it, sharing nothing
with the rest.
"""
