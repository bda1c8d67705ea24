"""Jobs as a file: /api/admin/scheduler-jobs/export, /plan and /apply."""
