"""The inbound addresses of jobs: /api/admin/scheduler-jobs/<job_id>/inbound."""
