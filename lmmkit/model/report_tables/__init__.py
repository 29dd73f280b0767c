"""The tables behind the report: what is printed or drawn stands in one of them first.

`report_table.py` says how a table is printed; beside each function that makes one stands its declaration.
"""
