"""Benchmarks: eventlab compared with the bare command and the original, in the same run."""
