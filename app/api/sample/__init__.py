"""Sample data: /api/admin/sample-data."""
