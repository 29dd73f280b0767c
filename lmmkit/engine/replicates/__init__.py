"""Replicates."""
