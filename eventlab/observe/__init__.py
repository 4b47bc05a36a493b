"""A look at what is stored: shapes of events, causes, health. It reads, and changes nothing."""
