"""The content of a database as a value; processes that die at a given write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from app.mongo import Document

Content = dict[str, dict[str, bytes]]
# A process that kills itself when it is about to send its nth command that writes or, with `reads`, any command. With `after`, it counts
# from the first command that holds this text.
DYING = """
import os, signal, sys
from pymongo import monitoring
left, reads, after = int(os.environ["KILLED_AT"]), "KILLED_AT_READS" in os.environ, os.environ.get("KILLED_AFTER", "")
WRITES = {"insert", "update", "delete", "create", "createIndexes", "drop", "renameCollection", "dropIndexes", "findAndModify"}
class Dying(monitoring.CommandListener):
    def started(self, event):
        global left, after
        if after:
            after = "" if after in str(event.command) else after
        elif reads or event.command_name in WRITES:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    def succeeded(self, event): pass
    def failed(self, event): pass
monitoring.register(Dying())
from app.cli import main
main()
"""


def content_of(database: Database[Document]) -> Content:
    """Every document of every collection, as BSON, by collection and id."""
    raw: Any = database.with_options(codec_options=database.codec_options.with_options(document_class=RawBSONDocument))
    return {
        name: {str(row["_id"]): bytes(row.raw) for row in raw[name].find()}
        for name in raw.list_collection_names()
        if not name.startswith("system.")
    }


def indexes_of(database: Database[Document]) -> dict[str, Any]:
    """The indexes of every collection."""
    return {name: database[name].index_information() for name in database.list_collection_names()}


def put(database: Database[Document], content: Content) -> None:
    """Makes the content of a database this one, without indexes."""
    for name in database.list_collection_names():
        database[name].drop()
    for name, rows in content.items():
        collection: Any = database.create_collection(name)
        if rows:
            collection.insert_many([RawBSONDocument(row) for row in rows.values()])


def killed_command(environment: Mapping[str, str], *words: str, at: int, reads: bool = False, after: str = "") -> bool:
    """Runs `jobwright` in a process that kills itself with SIGKILL at its nth command to the database. Returns whether it died."""
    extra = {"KILLED_AT": str(at), "KILLED_AFTER": after, **({"KILLED_AT_READS": "1"} if reads else {})}
    done = subprocess.run(
        [sys.executable, "-c", DYING, *words], env={**os.environ, **environment, **extra}, capture_output=True, text=True, check=False
    )
    if done.returncode not in {0, -signal.SIGKILL}:
        raise AssertionError(done.stderr)
    return done.returncode != 0
