"""The mail bridge: every mail of a Gmail inbox becomes one CXone work item or is held for review."""
