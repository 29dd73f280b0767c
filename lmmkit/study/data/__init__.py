"""From the data file of a study to a typed table with a ledger of its rows. Read `load_table.py` first."""
