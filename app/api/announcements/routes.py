"""/api/admin/announcements"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.api.announcements.schemas import AnnouncementList, AnnouncementQuery, announcement_json
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.instants import as_text
from app.notification.quiet.entry import EntryFilter

blueprint = ApiBlueprint(
    "Announcements", __name__, url_prefix="/api/admin/announcements", description="Alerts for channels: sent, or held back with a reason"
)


@blueprint.get("")
@blueprint.arguments(AnnouncementQuery, location="query")
@blueprint.response(200, AnnouncementList)
def list_announcements(query: dict[str, Any]) -> dict[str, Any]:
    """List announcements, newest first; go on with `after`, the text in `next`"""
    wanted = EntryFilter(
        status=query["status"],
        why=query["reason"],
        by=query["mute"],
        batch=query["batch"],
        incident_id=query["incident"],
        channel_id=query["channel"],
        begin=query["begin"],
        end=query["end"],
        before=_place(query["after"]),
    )
    rows, more = services().announced.page(actor(), wanted, limit=query["limit"])
    held = {why.value: count for why, count in services().announced.held_lately(actor()).items()}
    after = f"{as_text(rows[-1].created_at)}~{rows[-1].id}" if more else None
    return {"announcements": [announcement_json(row) for row in rows], "held": held, "next": after}


def _place(text: str) -> tuple[datetime, str] | None:
    at, _, last_id = text.partition("~")
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return None
    return (moment, last_id) if moment.tzinfo is not None else None
