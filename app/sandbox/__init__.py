"""The processes that run attempts on Linux, and what bounds them. No database, no settings, no Flask."""
