"""The command `fleet`: lists of videos in PostgreSQL, and workers on any number of machines.

`app` is the table of its commands, `place` finds the database, `enqueue` reads lists and asks for consent, `feed` makes
the fleet's rows of them, `steering` and `account` do what a person decides, `worker` runs one, `status` shows how the
fleet is with `report` and `watch`. May import what `cli` may.
"""
