"""Variance tests."""
