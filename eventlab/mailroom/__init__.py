"""The mail bridge: each mail in a Gmail inbox becomes one CXone work item or is held."""
