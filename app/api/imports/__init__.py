"""Imports from other schedulers: /api/admin/imports."""
