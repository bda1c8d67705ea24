"""Digests: what happened since the last one, for one person or for a team, at a time of their day."""
