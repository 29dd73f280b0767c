"""A fit in other packages' words: statsmodels' attributes, broom's tables, several fits side by side.

Nothing is computed here that has no name of its own elsewhere.
"""
