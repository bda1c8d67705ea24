"""Saves collections into an archive, verifies it, and deletes older archives beyond the wanted number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pymongo.database import Database

from templates_lib import fields
from templates_lib.backup import archive
from templates_lib.base import JobResult, JobTemplate, Problem, RunContext, TemplateError
from templates_lib.connections.file_store import open_file_store
from templates_lib.connections.mongodb import open_mongodb
from templates_lib.connections.stores import FileEntry, FileStore
from templates_lib.messages import amount

SUFFIX = ".backup.zip"


class Backup(JobTemplate):
    """Requirement 002.94: compressed archives with checksums, verified after writing, with retention and a restore command."""

    type = "backup"
    name = "Backup"
    description = "Save collections of a MongoDB database as a verified archive"
    category = "Data"
    icon = "hard-drive"
    risk_level = "medium"
    estimated_duration = "5–30 minutes"
    resource_usage = "medium"
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": fields.DIALECT,
        "type": "object",
        "properties": {
            "connection": fields.connection("mongodb", "Connection"),
            "collections": {
                "type": "array",
                "title": "Collections",
                "description": "Leave empty to back up every collection that the connection allows.",
                "uniqueItems": True,
                "maxItems": 500,
                "items": fields.collection(),
            },
            "store": fields.connection("file_store", "File store"),
            "name": {
                "type": "string",
                "title": "Name",
                "minLength": 1,
                "maxLength": 200,
                "pattern": r"^[^/\\\x00-\x1f.][^\\\x00-\x1f]*$",
                "x-placeholder": "backups/shop",
                "description": "Start of the file name. The date, the time and `.backup.zip` are added.",
            },
            "keep": {
                "type": "integer",
                "title": "Backups to keep",
                "minimum": 0,
                "maximum": 10_000,
                "default": 0,
                "description": "Older backups with this name are deleted after the new one is verified. 0 keeps all of them.",
            },
        },
        "required": ["connection", "store", "name"],
        "examples": [{"connection": "shop", "store": "files", "name": "backups/shop", "keep": 7}],
        "additionalProperties": False,
    }

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:
        if fields.leaves_store(params["name"]):
            yield Problem("/name", "must stay inside the file store")
        for place, name in enumerate(params.get("collections", ())):
            yield from fields.collection_problems(name, f"/collections/{place}")

    def preview(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        """Returns which collections would be saved, about how many documents, and which older archives would be deleted."""
        self.insist(params)
        with open_mongodb(ctx, params["connection"]) as database:
            names = self._names(database, params)
            documents = sum(database[name].estimated_document_count() for name in names)
        older = [entry.name for entry in self._older(open_file_store(ctx, params["store"]), params)]
        surplus = older[max(0, params["keep"] - 1) :] if params.get("keep") else []
        return JobResult(
            f"Would save about {amount(documents, 'document')} of {amount(len(names), 'collection')}",
            {"collections": names, "documents": documents, "would_delete": surplus},
        )

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        self.insist(params)
        store, path = open_file_store(ctx, params["store"]), f"{params['name']}-{ctx.now:%Y-%m-%d-%H%M%S}{SUFFIX}"
        done = 0

        def step(count: int) -> None:
            nonlocal done
            ctx.check_cancelled()
            done += count
            ctx.progress(done, max(total, done), f"{amount(done, 'document')} saved")

        with open_mongodb(ctx, params["connection"]) as database:
            names = self._names(database, params)
            total = sum(database[name].estimated_document_count() for name in names)
            ctx.log.info("Saving %s, about %s, to %s", amount(len(names), "collection"), amount(total, "document"), path)
            with store.write_atomically(path) as stream:
                parts = archive.write(stream, database, names, ctx.now.isoformat(), step)
        ctx.check_cancelled()
        try:
            with store.open(path) as stream:
                archive.verify(stream)
        except archive.ArchiveBroken as error:
            raise TemplateError(f"{path} is not what was written: {error}") from error
        removed = self._remove(store, params, ctx) if params.get("keep") else []
        size = store.size(path)
        data = {
            "path": path,
            "bytes": size,
            "records_processed": done,
            "errors": 0,
            "removed": removed,
            "collections": [{"name": part.name, "documents": part.documents, "sha256": part.sha256} for part in parts],
        }
        return JobResult(
            f"Saved {amount(done, 'document')} of {amount(len(parts), 'collection')} to {path} ({size:,} bytes), verified", data
        )

    def _names(self, database: Database[dict[str, Any]], params: Mapping[str, Any]) -> list[str]:
        """Returns the names of the collections to save. Raises TemplateError for a collection that does not exist or that the connection
        does not allow."""
        existing = sorted(name for name in database.list_collection_names(filter={"type": "collection"}) if not name.startswith("system."))
        wanted = list(params.get("collections", ()))
        missing = [name for name in wanted if name not in existing]
        if missing:
            raise TemplateError(f"There is no collection {missing[0]!r}", permanent=True)
        for name in wanted:
            database[name]  # raises if the connection does not allow this collection
        return wanted or [name for name in existing if _is_allowed(database, name)]

    @staticmethod
    def _older(store: FileStore, params: Mapping[str, Any]) -> list[FileEntry]:
        """Returns the archives of this name, the newest first."""
        folder, _, name = params["name"].rpartition("/")
        named = re.compile(re.escape(name) + r"-[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{6}" + re.escape(SUFFIX))
        try:
            archives = [entry for entry in store.files(folder) if named.fullmatch(entry.name.rpartition("/")[2])]
        except TemplateError as error:
            if not error.permanent:
                raise
            return []  # there is no such folder yet
        return sorted(archives, key=lambda entry: entry.name, reverse=True)

    def _remove(self, store: FileStore, params: Mapping[str, Any], ctx: RunContext) -> list[str]:
        surplus = self._older(store, params)[params["keep"] :]
        for entry in surplus:
            store.remove(entry)
            ctx.log.info("%s is older than the newest %s; deleted", entry.name, params["keep"])
        return [entry.name for entry in surplus]


def _is_allowed(database: Database[dict[str, Any]], name: str) -> bool:
    try:
        database[name]
    except TemplateError:
        return False
    return True
