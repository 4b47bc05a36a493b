"""Benchmarks that compare eventlab with the bare command and the original in the same run."""
