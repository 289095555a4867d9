"""The journal in SQLite or PostgreSQL. SQLAlchemy is imported when the first `SqlJournal` is made.

Public from here: nothing; `SqlJournal` is imported from the package.
May import the rest of journal, errors and schema.
"""
