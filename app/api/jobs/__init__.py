"""Jobs: /api/admin/scheduler-jobs."""
