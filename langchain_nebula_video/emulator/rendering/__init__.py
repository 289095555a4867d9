"""Media files: checks of what comes in, and the videos that go out."""
