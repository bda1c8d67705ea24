"""Templates, and managing them: /api/admin/job-templates."""
