"""Accounts: /api/admin/users."""
