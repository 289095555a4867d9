"""A finished video becomes a file, or an object in a bucket.

Public from here: nothing. May import transport, protocols, media, errors and schema.
"""
