"""Forgetting a person: protected fields, a key per person, and the destruction of that key.

An event is never changed. What must be forgettable is encrypted with a key of the person it is
about, and that key is kept apart from the events; without it the field is unreadable for ever,
in every copy and backup of the events ("crypto-shredding").
"""
