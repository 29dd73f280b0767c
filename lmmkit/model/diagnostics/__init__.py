"""Whether the data look as data sets do that the model makes: checks, verdicts, and what to do.

Begin with `diagnose.py`, then `replicated.py`, what every check is judged against, and `found.py`, what one
says.
"""
