"""Crossproducts."""
