"""Backs up the events of a category to checksummed files, and restores them."""
