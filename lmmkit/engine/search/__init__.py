"""From a start to the optimum.

Read `search` (what all share), `newton` (the method), `profiled_deviance` (what the fit minimises, and its
ways off saddles); then `optimality` (where it ended), `algorithms` (the others). Thresholds: `engine/rules`.
"""
