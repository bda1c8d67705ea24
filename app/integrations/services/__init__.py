"""Registered services: their records, instances, registrations and manifests."""
