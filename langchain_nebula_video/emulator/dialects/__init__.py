"""The APIs that the emulator imitates: routes, validation, error bodies and models of each gateway.

`app` imports the route handlers of each dialect; `faults` imports `error_envelopes`.
This room may import `serving`, `rendering` and the modules of `emulator` below the rooms.
"""
