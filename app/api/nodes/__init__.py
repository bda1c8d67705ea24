"""Nodes: /api/admin/nodes."""
