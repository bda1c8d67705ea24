"""Executions of schedules: /api/v1/executions."""
