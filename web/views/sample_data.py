"""/sample-data: creates and removes the sample data. The dashboard leads here."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, url_for

from templates_lib.messages import say
from web.current import actor, services
from web.views.common import tell

blueprint = Blueprint("sample_data_pages", __name__, url_prefix="/sample-data")


@blueprint.get("")
def show() -> str:
    """Shows what sample data there is, and what removing it would delete."""
    return render_template("sample_data.html", standing=services().samples.standing(actor()))


@blueprint.post("/create")
def create() -> Any:
    """Creates the sample data, or what is missing of it."""
    services().samples.create(actor())
    tell(say("Sample data created"))
    return redirect(url_for("dashboard_pages.show"))


@blueprint.post("/remove")
def remove() -> Any:
    """Removes the sample data, and the jobs that use it."""
    tell(say("Sample data removed") if services().samples.remove(actor()) else say("There is no sample data"))
    return redirect(url_for("dashboard_pages.show"))
