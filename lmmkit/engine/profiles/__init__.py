"""The deviance with one parameter held, and the bounds of likelihood intervals.

Read `slices` (what holding means in coordinates), `profile_deviance`, `interval_bounds`.
"""
