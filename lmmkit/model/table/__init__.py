"""The user's table: columns as numbers or levels, values of expressions, grouping factors; read `columns` first."""
