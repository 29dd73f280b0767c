"""Covariance structures: what T of a random-effects term and R of the residuals may be, behind two contracts.

Read `structures` first, for T; `block_diagonal` puts several side by side, `roots` has the triangular factors
of singular matrices. R is `residual_structure`, of the families in `correlations`.
"""
