"""Registered services: registrations, manifests, heartbeats, keys."""
