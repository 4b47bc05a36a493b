"""A read-only web page: what is stored, and how far those who read it are behind."""
