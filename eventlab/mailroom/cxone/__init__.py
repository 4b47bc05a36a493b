"""The client for NICE CXone's API, with its settings and its tokens."""
