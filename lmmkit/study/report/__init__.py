"""The report: sentences, captions and equations from the files of a run, the page, and reading it back.

Read `numbers.py` first: what is printed is a mark bound to its file and its place there.
"""
