"""Deletes old files below a file store."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from templates_lib import fields
from templates_lib.base import JobResult, JobTemplate, Problem, RunContext, TemplateError
from templates_lib.connections.file_store import open_file_store
from templates_lib.connections.stores import FileEntry, FileStore
from templates_lib.messages import amount

SAMPLES = 5
REPORT_EVERY = 100


class FileCleanup(JobTemplate):
    """Deletes plain files below one folder, and never follows a symbolic link."""

    type = "file_cleanup"
    name = "File cleanup"
    description = "Delete old files below a file store, by age and name"
    category = "Maintenance"
    icon = "folder"
    risk_level = "high"
    destructive = True
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": fields.DIALECT,
        "type": "object",
        "properties": {
            "store": fields.connection("file_store", "File store"),
            "folder": {
                "type": "string",
                "title": "Folder",
                "maxLength": 500,
                "pattern": r"^[^/\x00\\][^\x00\\]*$",
                "description": "A folder inside the store. Leave empty for the whole store.",
                "x-placeholder": "exports",
            },
            "pattern": {
                "type": "string",
                "title": "File names",
                "minLength": 1,
                "maxLength": 200,
                "pattern": r"^[^/\x00]+$",
                "default": "*",
                "description": "`*` matches any characters, and `?` matches exactly one.",
                "x-placeholder": "*.csv.gz",
            },
            "older_than_days": {
                "type": "number",
                "title": "Older than (days)",
                "minimum": 0,
                "maximum": 36_500,
                "description": "Counted from the last change of the file.",
            },
            "keep_newest": {
                "type": "integer",
                "title": "Newest files to keep",
                "minimum": 0,
                "maximum": 1_000_000,
                "default": 0,
                "description": "This many files are never deleted, even if they are old.",
            },
            "recursive": {"type": "boolean", "title": "Include subfolders", "default": False},
            "remove_empty_folders": {"type": "boolean", "title": "Remove folders that become empty", "default": False},
            "dryRun": fields.DRY_RUN,
            "max_deletes": {
                "type": "integer",
                "title": "Maximum number of deletes",
                "minimum": 1,
                "maximum": 10_000_000,
                "default": 10_000,
            },
        },
        "required": ["store", "older_than_days"],
        "examples": [{"store": "files", "pattern": "*.csv.gz", "older_than_days": 30, "keep_newest": 3}],
        "additionalProperties": False,
    }

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:
        if params.get("folder") and fields.leaves_store(params["folder"]):
            yield Problem("/folder", "must stay inside the file store")

    def preview(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        """Returns how many files and bytes a run would delete now, the oldest and the newest of them, and up to five names."""
        _, old = self._old(params, ctx)
        size = sum(entry.size for entry in old)
        data: dict[str, Any] = {"would_delete": len(old), "bytes": size, "samples": [entry.name for entry in old[:SAMPLES]]}
        if old:
            data |= {"oldest": _day(old[0].changed), "newest": _day(old[-1].changed)}
        return JobResult(f"Would delete {amount(len(old), 'file')} ({size:,} bytes)", data)

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        store, old = self._old(params, ctx)
        if params.get("dryRun", True):
            size = sum(entry.size for entry in old)
            ctx.log.info("Dry run: nothing is deleted")
            return JobResult(f"Would delete {amount(len(old), 'file')} ({size:,} bytes, dry run)", _result(len(old), 0, 0, dry_run=True))
        deleted = size = errors = 0
        for number, entry in enumerate(old):
            if number % REPORT_EVERY == 0:
                ctx.check_cancelled()
                ctx.progress(number, len(old), f"{number:,} of {amount(len(old), 'file')}")
            try:
                if not store.remove(entry):
                    continue  # the file is gone, or has changed since it was listed
            except (OSError, TemplateError) as error:
                errors += 1
                ctx.log.warning("%s stays: %s", entry.name, getattr(error, "strerror", None) or error)
                continue
            deleted, size = deleted + 1, size + entry.size
        if params.get("remove_empty_folders"):
            store.remove_empty_folders(params.get("folder", ""))
        ctx.progress(len(old), len(old))
        return JobResult(f"Deleted {amount(deleted, 'file')} ({size:,} bytes)", _result(len(old), deleted, size, errors=errors))

    def _old(self, params: Mapping[str, Any], ctx: RunContext) -> tuple[FileStore, list[FileEntry]]:
        """Returns the store, and the files of the folder that are old enough, the oldest first."""
        self.insist(params)
        store = open_file_store(ctx, params["store"])
        pattern, edge = params.get("pattern", "*"), (ctx.now - timedelta(days=params["older_than_days"])).timestamp()
        listed = store.files(params.get("folder", ""), recursive=params.get("recursive", False))
        matching = [entry for entry in listed if fnmatch.fnmatchcase(entry.name.rpartition("/")[2], pattern)]
        matching.sort(key=lambda entry: (entry.changed, entry.name))
        keep = params.get("keep_newest", 0)
        deletable = matching[: len(matching) - keep] if keep else matching
        return store, [entry for entry in deletable if entry.changed < edge][: params.get("max_deletes", 10_000)]


# The first and the last second that datetime knows (years 1 and 9999). A file system may have times beyond both.
_FIRST, _LAST = -62_135_596_800, 253_402_300_799


def _day(stamp: float) -> str:
    return datetime.fromtimestamp(min(max(stamp, _FIRST), _LAST), UTC).isoformat(timespec="seconds")


def _result(processed: int, deleted: int, size: int, *, errors: int = 0, dry_run: bool = False) -> dict[str, Any]:
    return {"records_processed": processed, "files_deleted": deleted, "bytes_freed": size, "errors": errors, "dry_run": dry_run}
