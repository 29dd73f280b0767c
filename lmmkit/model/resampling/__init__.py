"""Responses drawn from a fitted model, the model fitted to them, and what that says about its numbers."""
