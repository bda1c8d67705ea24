"""/templates: the gallery, and each template's page."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Blueprint, render_template, request

from app.accounts.permissions import May, lacks, require
from app.jobtemplates.entry import TemplateVersion
from web.current import actor, services
from web.language import translated

blueprint = Blueprint("templates_pages", __name__, url_prefix="/templates")

JOBS_SHOWN = 50


@blueprint.get("")
def gallery() -> str:
    """What a job can do, by category; narrowed by words and risk."""
    require(actor(), May.SEE_TEMPLATES)
    catalogue, words, risk = services().catalogue, request.args.get("q", "").strip()[:100], request.args.get("risk", "")
    entries = [entry for entry in catalogue if _matches(entry, words.lower().split(), risk)]
    by_category: dict[str, list[TemplateVersion]] = {}
    for entry in entries:
        by_category.setdefault(entry.category, []).append(entry)
    manages = lacks(actor(), May.MANAGE_TEMPLATES) is None
    return render_template(
        "gallery.html",
        by_category=by_category,
        broken=catalogue.broken,
        mendable=services().templates.mendable(actor()),
        manages=manages,
        q=words,
        risk=risk,
        jobs=services().directory.counts_by_template(),
        typical=services().history.typical_seconds(entry.type for entry in entries),
        standing={entry.type: catalogue.standing(entry.type) for entry in entries},
        closed={entry.type: catalogue.closed(entry.type) for entry in entries},
        drafts=services().templates.drafts(actor()) if manages else [],
    )


def _matches(entry: TemplateVersion, words: Iterable[str], risk: str) -> bool:
    named = (entry.name, entry.description, entry.category)
    text = " ".join((entry.type, *named, *map(translated, named))).lower()
    return all(word in text for word in words) and (not risk or entry.template.risk_level == risk)


@blueprint.get("/<kind>")
def show(kind: str) -> str:
    """A template's page: its help; for super-admins its versions, jobs and moves."""
    require(actor(), May.SEE_TEMPLATES)
    entry, catalogue = services().catalogue.get(kind), services().catalogue
    manages = lacks(actor(), May.MANAGE_TEMPLATES) is None
    row = services().templates.get(actor(), kind)
    base = services().catalogue.find(entry.base) if entry.base else None
    return render_template(
        "template.html",
        entry=entry,
        base=base,
        row=row,
        standing=catalogue.standing(kind),
        closed=catalogue.closed(kind),
        manages=manages,
        jobs=services().directory.of_template(actor(), kind, JOBS_SHOWN),
        count=services().directory.count_of(kind),
        typical=services().history.typical_seconds([kind]).get(kind),
        presets=services().presets.of(actor(), kind),
        moves=services().moves.latest(actor(), kind) if manages else [],
        behind=services().directory.versions_of(kind) if manages else {},
    )
