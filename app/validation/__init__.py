"""The one JSON Schema judge: form, API, import and the moment before a run; and the gate that schemas come through."""

from __future__ import annotations

from app.validation.pointer import pointer
from app.validation.schema import SchemaRefused, prepare
from app.validation.validator import SchemaValidator

__all__ = ["SchemaRefused", "SchemaValidator", "pointer", "prepare"]
