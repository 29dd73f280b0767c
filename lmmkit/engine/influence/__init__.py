"""A fit without some of its rows: in closed form from the whole fit, by one Newton step, and refitted.

Read `geometry` (P without n x n matrices), then `deletion` (variances held), `newton_step`, `remaining`.
"""
