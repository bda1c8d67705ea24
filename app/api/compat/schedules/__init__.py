"""Schedules of commands: /api/v1/schedules."""
