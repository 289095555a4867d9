"""Fault injection: the kinds of fault, and the list of faults for coming requests.

Import `schedule.Faults` to add or inject faults, and `kinds.KINDS` for the table of kinds.
This room may import `dialects`, `serving` and the modules of `emulator` below the rooms.
"""
