"""Audit events: /api/admin/audit-events."""
