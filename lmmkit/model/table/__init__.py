"""The user's table: columns as numbers or as levels, values of expressions, grouping factors.

Read first `columns`.
"""
