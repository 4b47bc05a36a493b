"""Slices: one category spread over the shards of a cluster, with one stream per slice."""
