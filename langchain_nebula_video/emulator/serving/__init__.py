"""HTTP: the server, one exchange, and the storage of files."""
