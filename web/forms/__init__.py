"""JSON Schema → form → HTML, and the posted form → JSON. Pure: no request, no database; docs/reference/forms.md is its contract."""

from __future__ import annotations

from app.validation import SchemaRefused
from web.forms.form import Form, Submission, action_in
from web.forms.values import ABSENT

__all__ = ["ABSENT", "Form", "SchemaRefused", "Submission", "action_in"]
