"""Benchmarks and the measurement of every claimed figure; not installed."""
