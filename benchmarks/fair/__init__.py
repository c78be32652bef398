"""All variants, tuned alike: which is best? `python -m benchmarks.fair.table`."""
