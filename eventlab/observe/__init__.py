"""Read-only reports on the shapes and causes of events, and on lag and health."""
