"""Requests to inbound addresses: /api/inbound/<secret>."""
