"""Arrays in, numbers out; numpy and scipy only.

In the order in which it reads best: `problem`, `setup`, `solve` and `solution` are the way in and out. From
rows to sums: `crossproducts`. What a covariance matrix may be: `covariance`. theta to deviance and gradient:
`criterion`. The optimum: `search`. `referee` solves the same by other equations, with no code of these.
About the optimum: `inference`, `variance_tests`, `profiles`. Many responses on one design: `replicates`.
"""
