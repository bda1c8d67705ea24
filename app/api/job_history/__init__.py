"""Versions, dependencies, notes, figures and copies of a job, and one action on many jobs: /api/admin/scheduler-jobs."""
