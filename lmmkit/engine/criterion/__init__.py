"""Criterion."""
