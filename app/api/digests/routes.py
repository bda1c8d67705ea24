"""/api/admin/digests"""

from __future__ import annotations

from typing import Any

from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.digests.schemas import DigestEnvelope, DigestList, DigestPreviewOut, digest_json, preview_json
from app.api.etag import Versioned
from app.notification.digests.model import Digest
from app.notification.digests.schema import TEAM

blueprint = ApiBlueprint("Digests", __name__, url_prefix="/api/admin/digests", description="Summaries for teams, daily or weekly")


def _answer(digest: Digest, message: str | None = None, *, status: int = 200) -> Versioned:
    body = {"digest": digest_json(digest), **({"message": message} if message else {})}
    return Versioned(body=body, version=digest.version, status=status)


@blueprint.get("")
@blueprint.response(200, DigestList)
def list_digests() -> dict[str, Any]:
    """List the digests of teams"""
    return {"digests": [digest_json(digest) for digest in services().digests.all(actor())]}


@blueprint.post("")
@blueprint.body(TEAM, validate=False)
@blueprint.response(201, DigestEnvelope)
@blueprint.etag()
def create_digest(body: Any) -> Versioned:
    """Create a digest of a team"""
    return _answer(services().digests.create(actor(), body), "Digest created", status=201)


@blueprint.get("/<digest_id>")
@blueprint.response(200, DigestEnvelope)
@blueprint.etag()
def get_digest(digest_id: str) -> Versioned:
    """Read a digest"""
    return _answer(services().digests.get(actor(), digest_id))


@blueprint.put("/<digest_id>")
@blueprint.body(TEAM, validate=False)
@blueprint.response(200, DigestEnvelope)
@blueprint.etag(if_match=True)
def update_digest(digest_id: str, body: Any, version: int | None) -> Versioned:
    """Change a digest; what the body leaves out has its default"""
    return _answer(services().digests.update(actor(), digest_id, body, version=version), "Digest updated")


@blueprint.delete("/<digest_id>")
@blueprint.response(200, Message)
def delete_digest(digest_id: str) -> dict[str, str]:
    """Delete a digest"""
    services().digests.delete(actor(), digest_id)
    return {"message": "Digest deleted"}


@blueprint.get("/<digest_id>/preview")
@blueprint.response(200, DigestPreviewOut)
def preview_digest(digest_id: str) -> dict[str, Any]:
    """Read what a digest would say now"""
    digests = services().digests
    return preview_json(digests.get(actor(), digest_id), digests.preview(actor(), digest_id, language="en"))
