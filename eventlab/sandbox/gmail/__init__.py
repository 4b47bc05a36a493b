"""A fake Gmail: its HTTP API with an in-memory mailbox."""
