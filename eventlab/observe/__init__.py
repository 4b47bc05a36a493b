"""Read-only reports on stored data: the shapes of events, their causes, lag and health."""
