"""A journal in SQLite or PostgreSQL. SQLAlchemy is imported when the first one is opened.

Public from here: nothing; `SqlJournal` comes from the package itself. May import journal entries, errors and schema.
"""
