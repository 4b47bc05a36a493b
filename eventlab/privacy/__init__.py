"""Forgetting a person: protected fields, a key per person, and the destruction of that key.

An event is never changed. Personal data is encrypted with the key of the person it describes, and
that key is stored separately from the events. Without the key, the field is unreadable forever,
in every copy and backup of the events ("crypto-shredding").
"""
