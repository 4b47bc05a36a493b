"""Fake servers for Gmail and CXone on loopback, and sample emails."""
