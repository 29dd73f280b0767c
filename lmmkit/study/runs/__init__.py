"""A study's run: what it will be (`plan.py`) and how it is made, step by step (`run.py`, `execute.py`)."""
