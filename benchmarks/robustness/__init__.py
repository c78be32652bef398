"""Scripts that show what extraction survives, larger than the tests: `python -m benchmarks.robustness.NAME`."""
