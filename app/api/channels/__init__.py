"""Channels: /api/admin/channels."""
