"""Sweeps: a study rerun over a grid of settings; read `cells`, then `make_sweep`."""
