"""The client for Gmail's API, with its credentials and its errors."""
