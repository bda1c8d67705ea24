"""/jobs/<id>: the page of a job, its form, and the actions on it. All modules here share one blueprint."""

from __future__ import annotations

from web.views.jobs import actions, drafts, edit, inbound, page, registered, runs
from web.views.jobs.blueprint import blueprint

__all__ = ["actions", "blueprint", "drafts", "edit", "inbound", "page", "registered", "runs"]
