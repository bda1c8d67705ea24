"""The interfaces of the scheduler services that came before: their routes, over the same services and rights as Jobwright's own.

`named_jobs` addresses jobs by their names, `job_types` starts them by their type, and `schedules` manages them as schedules of commands.
docs/reference/compatibility.md lists each route beside Jobwright's own.
"""
