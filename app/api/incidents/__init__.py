"""Incidents: /api/admin/incidents."""
