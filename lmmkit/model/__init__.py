"""Names in, tables out: formulas, designs, estimates, and what may be said of them.

Read first `fit`, then what it is made of in the order of a fit: `formula`, `table`, `design`, `estimates`;
everything else answers a question about the estimates.
"""
