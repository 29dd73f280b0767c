"""Levels whose effects are correlated in a known way: relatives, and whatever else a matrix K says.

Read `relationship` (what a K may be) first.
"""
