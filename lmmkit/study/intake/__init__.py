"""The way in: how a file of rows and columns is written, what its columns are, the study proposed for it."""
