"""Algebra that the engine shares.

Many small matrices at once (`levelwise`), cross-products between the levels of crossed factors
(`cross_blocks`), covariance matrices that keep their digits (`two_part_covariance`).
"""
