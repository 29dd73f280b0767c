"""Covariance structures: what T of a random-effects term may be, behind one contract.

Read `structures` first; `blocks` puts several side by side, `roots` has the factors of singular matrices.
"""
