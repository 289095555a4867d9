"""What comes in and what a file is: images, formats, URLs, MP4 files. No I/O but reading what was given.

Public from here: nothing. May import errors and schema.
"""
