"""The migration of the jobs of the old scheduler: /api/admin/migrated-jobs."""
