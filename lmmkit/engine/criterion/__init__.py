"""Theta to deviance, gradient and Hessian.

Read `criterion` (the formulas), `elimination` (forward), `gradient` (the reverse sweep), `hessian`, in this
order.
"""
