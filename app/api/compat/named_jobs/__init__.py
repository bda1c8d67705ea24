"""Jobs by their names: /api/jobs."""
