"""The command `batch`: many videos, of folders, globs, images and tables.

`sources` reads the rows, `plan` checks them and tells what is paid for already, `run` makes the videos, `view` shows
how far they are, and `command` is the command. May import what `cli` may.
"""
