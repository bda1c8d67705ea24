"""Spans of what Jobwright does, for a collector. Only app.traces.otlp imports OpenTelemetry, and only if a setting asks for it."""
