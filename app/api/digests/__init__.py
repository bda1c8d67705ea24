"""Digests of teams: /api/admin/digests."""
