"""Numbered database migrations: one module each, `m0001_…`, with `up(database)` and `down(database)`."""
