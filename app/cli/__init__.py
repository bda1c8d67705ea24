"""The command line `jobwright`: one module for each group of commands.

`jobwright --help` imports every module of this package, so none of them imports the services, the database or the web framework at its
head: a command imports what it needs when it runs.
"""

from __future__ import annotations

from app.cli.root import cli, main

__all__ = ["cli", "main"]
