"""Gmail: its API client, the credentials for it, and its errors."""
