"""Covariance structures: what T of a random-effects term may be, behind one contract.

Read `structures` first; `block_diagonal` puts several side by side, `roots` has the triangular factors of
singular matrices.
"""
