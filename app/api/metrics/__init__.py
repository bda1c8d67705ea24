"""Metrics: /metrics."""
