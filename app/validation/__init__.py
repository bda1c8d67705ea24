"""The only JSON Schema validator: forms, the API, imports and the step before a run use it. Schemas are checked before they are used."""

from __future__ import annotations

from app.validation.pointer import pointer
from app.validation.schema import SchemaRefused, prepare
from app.validation.validator import SchemaValidator

__all__ = ["SchemaRefused", "SchemaValidator", "pointer", "prepare"]
