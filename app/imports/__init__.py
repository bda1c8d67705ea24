"""Imports jobs from other schedulers: a source is read, a plan says what becomes of each of its fields, and the plan is applied."""
