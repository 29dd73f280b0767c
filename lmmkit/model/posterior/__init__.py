"""The posterior of a fitted model: priors by name, draws. Read `drawing.py` first."""
