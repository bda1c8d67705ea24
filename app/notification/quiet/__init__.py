"""Decides which announcements become messages, in which groups, and which are held back."""
