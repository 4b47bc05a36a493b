"""Reports on what is stored: shapes of events, causes, health. It reads, and changes nothing."""
