"""A read-only web page: what is stored, and how far its readers lag behind."""
