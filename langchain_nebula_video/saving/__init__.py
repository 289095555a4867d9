"""Saving finished videos: to a file on this machine, or to an object in a bucket.

Public from here: nothing. Other rooms use `save.save`, and the checks of `targets`.
May import transport, protocols, media, errors and schema.
"""
