"""The migration from the old scheduler, without a server."""
