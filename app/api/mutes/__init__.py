"""Mutes: /api/admin/mutes."""
