"""Executions: /api/admin/job-executions."""
