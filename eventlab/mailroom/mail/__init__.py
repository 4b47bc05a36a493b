"""Mail: the bytes of a message, parsed into what the mailroom knows about it."""
