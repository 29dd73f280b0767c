"""A formula on a table: codings, rows used, the arrays of a problem with their names; read `design` first."""
