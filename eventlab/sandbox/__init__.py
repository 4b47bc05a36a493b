"""Fake servers of Gmail and CXone on loopback, and sample mail."""
