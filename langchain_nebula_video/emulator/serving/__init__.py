"""HTTP: the server, its connections, one request and its response, and the object storage.

Everything here may be imported by `dialects`, `faults` and the top of `emulator`.
This room may import `rendering` and the modules of `emulator` below the rooms.
"""
