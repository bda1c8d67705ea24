"""Imports of jobs from other schedulers."""
