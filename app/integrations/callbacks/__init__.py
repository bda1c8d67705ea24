"""Runs that services do: the reports of services, where calls go, and circuit breakers."""
