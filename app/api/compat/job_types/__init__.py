"""Runs of job types: POST /api/jobs/trigger, and executions at /api/jobs."""
