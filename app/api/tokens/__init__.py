"""Tokens: /api/admin/tokens."""
