"""The maintenance switch: /api/admin/maintenance."""
