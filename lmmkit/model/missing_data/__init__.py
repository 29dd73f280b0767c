"""Missing responses: whose they are, and what the answer is under other assumptions about them.

Read `completed` for the rows, then `tipping_point` and `reference_based` for what is asked of them.
"""
