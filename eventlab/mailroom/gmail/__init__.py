"""Gmail: its API, the credentials for it, and its errors."""
