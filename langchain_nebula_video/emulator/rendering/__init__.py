"""Media: checks of image and audio files, and the rendering of videos. Only this room knows Pillow and PyAV.

Import `cache`, `limits` and `errors` freely. The other modules need the ``emulator`` extra when they are imported.
This room may import the modules of `emulator` below the rooms.
"""
