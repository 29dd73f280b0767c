"""Several models of the same data: likelihood ratio tests between them, and the choice of one.

Read `nesting` first (what can be compared), then `compare`.
"""
