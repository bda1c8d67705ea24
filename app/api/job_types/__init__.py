"""Job types: /api/admin/job-types."""
