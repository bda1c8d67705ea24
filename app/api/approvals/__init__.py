"""Requests for approval: /api/admin/approvals."""
