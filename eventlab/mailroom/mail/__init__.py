"""Mail: from the bytes of a message to what the mailroom knows about it."""
