"""A fit in other packages' words: statsmodels' attributes, broom's tables, several fits side by side.

Here too the words of advice become the keys of a study. Nothing is computed that has no name of its own
elsewhere.
"""
