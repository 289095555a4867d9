"""Sources of rows: folders, globs, images, tables and stores, read as a stream.

`reading` is the door: `iterate_sources`. `rows` makes rows of values, `tables` reads CSV and JSONL, `streams` opens and
unpacks tables, `folders` and `stores` list images. May import what `cli` may, but no command.
"""
