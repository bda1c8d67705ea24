"""Draws the form of a JSON Schema as HTML, and reads the posted form back to JSON.

The package knows no request and no database. docs/reference/forms.md describes what it promises. The way of a form: choose.py chooses
a control for each place, draw.py draws the fields of a value, render.py makes HTML of them; decode.py reads a post into fields again,
reshape.py carries out changes of type and branch, reader.py returns the value, arrange.py prepares the posted fields for the page.
"""

from __future__ import annotations

from app.validation import SchemaRefused
from web.forms.form import Form, Submission, action_in
from web.forms.values import ABSENT

__all__ = ["ABSENT", "Form", "SchemaRefused", "Submission", "action_in"]
