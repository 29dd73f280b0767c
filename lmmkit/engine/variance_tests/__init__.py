"""Likelihood ratio tests of variances, whose distribution is not the textbook's chi-squared.

Read `covariance_families` (which model lies within which, and where) before `chi_bar_squared`.
"""
