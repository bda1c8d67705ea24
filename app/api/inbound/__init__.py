"""Inbound addresses of jobs: /api/admin/scheduler-jobs/<job_id>/inbound, and /api/inbound/<secret>."""
