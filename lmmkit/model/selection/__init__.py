"""The choice of the random effects: candidates, the rules that walk among them, and the ledger of every step.

Read `random_parts` first (which models lie next to which), then `walks` (the rules, without data), then
`select`. `candidates` fits, `step_tests` tests a step; `conditional_aic` and `term_components` measure a fit.
"""
