"""Slices: one category over the shards of a cluster; made of the parts of one stream each."""
