"""The mail bridge: each email in a Gmail inbox becomes a CXone work item or is held for review."""
