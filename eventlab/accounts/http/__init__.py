"""The account service over HTTP."""
