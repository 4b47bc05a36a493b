"""Backups of a category: checksummed files of its events, and how they are restored."""
