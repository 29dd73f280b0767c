"""Missing responses filled in from a fit: draws of its parameters and of the rows, and their pooling.

Read `missing_responses` for what is imputed under which assumption, then `pooling` for the estimates.
"""
