"""Metrics for Prometheus: what they are, where their values come from, and who may read them."""
