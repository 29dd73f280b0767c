"""Arrays in, numbers out; numpy and scipy only.

`problem` says what is handed in, `solve` does it; the paper to read is `criterion`, then `search`. A second
route to every number, which shares no code with the first, is `referee`.
"""
