"""The formats of the metrics."""

from __future__ import annotations

TEXT = {"schema": {"type": "string"}}
CONTENT = {"text/plain": TEXT, "application/openmetrics-text": TEXT}
