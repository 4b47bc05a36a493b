"""Back up the events of a category to checksummed files, and restore them."""
