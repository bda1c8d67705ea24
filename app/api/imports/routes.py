"""/api/admin/imports"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.accounts.permissions import May, require
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.imports.schemas import ImportBody, ImportEnvelope, ImportList, ImportQuery, import_json
from app.errors import FieldError

blueprint = ApiBlueprint("Imports", __name__, url_prefix="/api/admin/imports", description="Jobs that were imported from other schedulers")


@blueprint.get("")
@blueprint.arguments(ImportQuery, location="query")
@blueprint.response(200, ImportList)
def list_imports(query: dict[str, Any]) -> dict[str, Any]:
    """List the imported entries of a source, or of all, and how their jobs are now"""
    return {"imports": [import_json(imported) for imported in services().imports.of_source(actor(), query["source"])]}


def _errors_of_import(_body: Any, _errors: Sequence[FieldError]) -> Sequence[FieldError]:
    """Raises Forbidden first: without the right, nothing is said of the body."""
    require(actor(), May.CHANGE_JOBS)
    return ()


@blueprint.post("")
@blueprint.body(ImportBody, further_errors=_errors_of_import)
@blueprint.response(200, ImportEnvelope)
def create_import(body: dict[str, Any]) -> dict[str, Any]:
    """Create the job of an entry, paused or in shadow mode; an entry that was imported before is left as it is"""
    options = {name: body.get(name, False) for name in ("disabled", "shadow")}
    imported = services().imports.create(
        actor(), source=body["source"], entry=body["entry"], plan=body["plan"], body=body["job"], **options
    )
    return {"import": import_json(imported)}


@blueprint.delete("/<import_id>")
@blueprint.response(200, ImportEnvelope)
def remove_import(import_id: str) -> dict[str, Any]:
    """Delete the job of an imported entry, unless somebody has changed it, and forget the import"""
    return {"import": import_json(services().imports.remove(actor(), import_id))}
