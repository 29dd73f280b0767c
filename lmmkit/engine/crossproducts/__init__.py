"""From rows to sums.

`scaling` prepares the rows, `elimination_order` says which factors are nested in which, `crossproducts` sums
products of rows, `moment_start` makes starting values of the sums. Read in this order.
"""
