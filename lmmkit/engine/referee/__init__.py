"""A second, plain route to every number of a fit, which shares no code with the first: Henderson's equations
and V written out. `textbook` writes a problem out, `henderson` (dense) and `henderson_sparse` solve it,
`equation_residuals` asks in one pass over the rows whether a claimed solution solves the equations.
"""
