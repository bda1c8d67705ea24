"""JSON Schema → form → HTML, and the posted form → JSON. Pure: no request, no database; docs/reference/forms.md is its contract."""

from __future__ import annotations

from web.forms.filled import ABSENT, KEPT
from web.forms.form import Form, Submission
from web.forms.nodes import SchemaRefused

__all__ = ["ABSENT", "KEPT", "Form", "SchemaRefused", "Submission"]
