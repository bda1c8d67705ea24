"""Versions of templates and their jobs, and presets: /api/admin/job-templates/{type}."""
