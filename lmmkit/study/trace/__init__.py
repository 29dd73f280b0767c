"""Where the numbers of a run come from (`why`), and what moved between two runs (`diff`)."""
