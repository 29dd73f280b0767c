"""The choice of the random effects: candidates, the rules that walk among them, and the ledger of every step.

Read `random_parts` first (which models lie next to which), then `walks` (the rules, without data), then
`select`. `candidates` fits, `verdicts` judges a step, `conditional_aic` and `term_components` are measures of
one fit.
"""
