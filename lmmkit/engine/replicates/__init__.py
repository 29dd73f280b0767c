"""Many responses on one design.

Read `refit`; small designs go through `batch_sums`, `batch_criterion` and `batch_newton`, all at once.
"""
