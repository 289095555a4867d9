"""A task from the request to the saved video, written once as async code for both runtimes.

Public from here: nothing. May import every room below: journal, saving, catalog, transport, protocols, media.
"""
