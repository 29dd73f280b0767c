"""Names in, tables out: formulas, designs, estimates, and what may be said of them.

The natural way of the data: `formula` and `expression` read text, `frame` and `source` read columns, `design`
makes the arrays, `estimate` hands them to the engine, `fit` is the face. What is asked of a fit has a room of
its own: `certificate`, `tables`, `summary`, `storage`, `predict`, `degrees`, `hypotheses`, and their like.
Above them stand `selection` and `algorithms`, which fit more than one model.
"""
