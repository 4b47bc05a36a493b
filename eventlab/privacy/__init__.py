"""Forgets a person by destroying the key that encrypts the person's protected fields.

An event is never changed. Personal data is encrypted with the key of the person it describes, and
this key is stored separately from the events. Without the key, the data is unreadable forever, in
every copy and backup of the events ("crypto-shredding").
"""
