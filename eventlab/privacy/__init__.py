"""Forgetting a person: protected fields, a key per person, and the destruction of that key.

An event is never changed. Data that must be forgettable is encrypted with a key of the person it is
about, and that key is kept apart from the events. Without the key, the field is unreadable forever,
in every copy and backup of the events ("crypto-shredding").
"""
