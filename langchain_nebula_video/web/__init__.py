"""Pages for people: the console of the emulator, in `console`.

`look`, `charts`, `templates` and `static` are what every page shares. They import nothing of the package, so that a
page about the emulator needs no client and a page about a journal no emulator.
"""
