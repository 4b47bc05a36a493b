"""NICE CXone: its API, the tokens for it, and its errors."""
