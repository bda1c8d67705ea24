"""Reports of services."""
