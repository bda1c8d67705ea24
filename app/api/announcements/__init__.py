"""Announcements of alerts: /api/admin/announcements."""
