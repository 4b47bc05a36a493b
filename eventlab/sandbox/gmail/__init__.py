"""A fake Gmail: the HTTP API on a mailbox in memory."""
