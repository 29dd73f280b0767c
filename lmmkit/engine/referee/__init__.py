"""A second, plain route to every number of a fit, which shares no code with the first.

`textbook` writes a problem out as matrices; `henderson` (dense) and `henderson_sparse` solve Henderson's
equations and V; `equation_residuals` asks in one pass over the rows whether a claimed solution solves them.
"""
