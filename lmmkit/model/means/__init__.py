"""Means."""
