"""Parses the bytes of an email into the facts that the mailroom needs."""
