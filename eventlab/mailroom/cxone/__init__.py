"""NICE CXone: its API client, the tokens for it, and its errors."""
