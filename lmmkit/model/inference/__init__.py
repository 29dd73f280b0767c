"""Inference about one fit: tests and intervals of coefficients, terms and variances.

Read `linear_functions` first: a table of estimates, standard errors, degrees of freedom, tests and bounds.
Its degrees of freedom come from `degrees_of_freedom`, one entry per method.
"""
