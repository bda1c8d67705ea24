"""The blueprint of the pages of one job."""

from __future__ import annotations

from flask import Blueprint

blueprint = Blueprint("jobs_pages", __name__, url_prefix="/jobs")
