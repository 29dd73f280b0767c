"""Uncertainty at an optimum: information on the variances, degrees of freedom, prediction error.

Read `traces` first, of which everything is made, then `information`, `satterthwaite`, `kenward_roger`.
"""
