"""The mail bridge: each email in a Gmail inbox becomes one CXone work item or is held."""
