"""Connections: /api/admin/connections."""
