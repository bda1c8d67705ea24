"""Backup and restore of a whole installation: archive, snapshot, the switch to restored collections.

The template `backup` (templates_lib/backup) writes user databases; this room writes the registry itself.
"""
