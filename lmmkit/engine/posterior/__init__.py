"""Draws from the posterior of a linear mixed model, with what they may be trusted for.

With a flat prior on the fixed effects the restricted likelihood is their integral, so the covariance
parameters alone are drawn, by importance sampling. Read `log_posterior.py` first, then `draws.py`.
"""
