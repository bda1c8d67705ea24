"""/templates: the gallery, and each template's help page."""

from __future__ import annotations

from flask import Blueprint, render_template

from app.accounts.permissions import May, lacks, require
from web.views.common import actor
from web.views.signin import services

blueprint = Blueprint("templates_pages", __name__, url_prefix="/templates")


@blueprint.get("")
def gallery() -> str:
    """What a job can do, by category."""
    require(actor(), May.SEE_TEMPLATES)
    found = services().catalogue
    return render_template("gallery.html", entries=list(found), broken=found.broken, super_admin=lacks(actor(), May.TRY_SCHEMAS) is None)


@blueprint.get("/<kind>")
def show(kind: str) -> str:
    """A template's help page: its README, and its parameters as a table."""
    require(actor(), May.SEE_TEMPLATES)
    return render_template("template.html", entry=services().catalogue.get(kind))
