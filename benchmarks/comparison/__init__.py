"""Simulations of what `compare` says: how often is it wrong? `python -m benchmarks.comparison.NAME`."""
