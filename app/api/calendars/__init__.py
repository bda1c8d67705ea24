"""Calendars: /api/admin/calendars."""
