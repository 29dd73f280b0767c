"""What a notebook of a run holds: `open_step` gives it a `Step` with its settings, inputs and outputs."""
