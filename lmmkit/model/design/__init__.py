"""A formula on a table: codings, the rows used, the arrays of a problem with their names.

Read first `design`.
"""
