"""Incidents: what alert rules have found, from its beginning to its end."""
