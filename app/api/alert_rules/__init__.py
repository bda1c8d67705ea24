"""Alert rules: /api/admin/alert-rules."""
